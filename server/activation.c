/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/activation.h"

#include <config.h>

#include <stddef.h>

#ifdef HAVE_SYSTEMD
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <platter/driver.h>

#include "server/block/error.h"

static struct {
	unsigned count;
	char **names; /* of the descriptors from SD_LISTEN_FDS_START on */
	int control;
} activation = { .control = -1 };

static int look_at(unsigned index, struct platter_error *error)
{
	const char *name = activation.names[index];
	int fd = SD_LISTEN_FDS_START + (int)index;

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
		return platter_fail(error, ENOTSOCK, "descriptor %d (%s), which the server was started with, is no listening stream "
				    "socket", fd, name);
	if (strcmp(name, "control") != 0)
		return 0;
	if (activation.control >= 0 || sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
		return platter_fail(error, EINVAL, "descriptor %d (%s), which the server was started with, is %s", fd, name,
				    activation.control >= 0 ? "the second one of this name" : "no unix socket");
	activation.control = fd;
	return 0;
}

int activation_begin(struct platter_error *error)
{
	int count = sd_listen_fds_with_names(1, &activation.names);
	int result = 0;

	if (count < 0)
		return platter_fail(error, -count, "LISTEN_FDS: %s", strerror(-count));
	activation.count = (unsigned)count;
	for (unsigned i = 0; result == 0 && i < activation.count; i++)
		result = look_at(i, error);
	return result;
}

int activation_control(void)
{
	return activation.control;
}

bool activation_has_listeners(void)
{
	return activation.count > (activation.control >= 0);
}

const char *activation_listener(unsigned index, int *fd)
{
	for (unsigned i = 0; i < activation.count; i++) {
		*fd = SD_LISTEN_FDS_START + (int)i;
		if (*fd != activation.control && index-- == 0)
			return activation.names[i];
	}
	return NULL;
}

void activation_end(void)
{
	for (unsigned i = 0; i < activation.count; i++)
		free(activation.names[i]);
	free(activation.names);
	activation.names = NULL;
	activation.count = 0;
}

#else

int activation_begin(struct platter_error *error)
{
	(void)error;
	return 0;
}

int activation_control(void)
{
	return -1;
}

bool activation_has_listeners(void)
{
	return false;
}

const char *activation_listener(unsigned index, int *fd)
{
	(void)index;
	(void)fd;
	return NULL;
}

void activation_end(void)
{
}
#endif
