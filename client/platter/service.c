/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#define PREFIX "link"

bool service_manager_runs(void)
{
	return sd_booted() > 0;
}

void service_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void service_status(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)sd_notifyf(0, "STATUS=%s", text);
}

void service_keep(unsigned which, int fd)
{
	char text[64];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=" PREFIX "%u", which);
	(void)sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void service_drop(unsigned which)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%u", which);
}

void service_take(int *fds, unsigned count)
{
	char **names = NULL;
	int given = sd_listen_fds_with_names(1, &names);

	for (unsigned i = 0; i < count; i++)
		fds[i] = -1;
	for (int i = 0; i < given; i++) {
		unsigned which = count;

		if (sscanf(names[i], PREFIX "%u", &which) == 1 && which < count && fds[which] < 0)
			fds[which] = SD_LISTEN_FDS_START + i;
		else
			close(SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
}
