/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/service.h"

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "client/platter/settings.h"

#define PREFIX "link"
/* What systemctl exits with where there is no such unit: the LSB's "program is not installed". */
#define NO_UNIT 5

extern char **environ;

/* --- Having one started */

static void path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s.conf", SERVICE_DIRECTORY, name);
}

static int write_settings(const struct settings *settings, struct problem *problem)
{
	char path[256];
	FILE *file;
	bool written;

	(void)mkdir("/run/platter", 0755);
	(void)mkdir(SERVICE_DIRECTORY, 0755);
	path_of(path, sizeof(path), settings->name);
	file = fopen(path, "we");
	for (const char *const *key = settings_keys; file && *key; key++) {
		char *value = strcmp(*key, "name") == 0 ? NULL : settings_get(settings, *key);

		if (value)
			fprintf(file, "%s = %s\n", *key, value);
		free(value);
	}
	written = file && !ferror(file);
	if (file && fclose(file) == 0 && written)
		return 0;
	return problem_set(problem, errno == EACCES ? STATUS_PERMISSION : STATUS_FAILED, "%s: %s", path, strerror(errno));
}

void service_forget(const char *name)
{
	char path[256];

	path_of(path, sizeof(path), name);
	unlink(path);
}

/* What systemctl says to that goes to OUTPUT, of SIZE bytes, unless it is NULL; its exit status; -1: it can't be run. */
static int systemctl(const char *const *words, char *output, size_t size)
{
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1;
	ssize_t length;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	if (posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	length = pid > 0 && output ? read(ends[0], output, size - 1) : 0;
	close(ends[0]);
	if (output)
		output[length > 0 ? length : 0] = '\0';
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The service has failed: with what its process exited. */
static int take_failure(const char *unit, struct problem *problem)
{
	const char *const ask[] = { "systemctl", "show", "--property=ExecMainStatus", "--value", unit, NULL };
	const char *const stop[] = { "systemctl", "stop", "--quiet", unit, NULL };
	char text[64];
	int status;

	systemctl(ask, text, sizeof(text));
	status = atoi(text);
	/* It would try again for ever, though nobody waits for it. */
	systemctl(stop, NULL, 0);
	return problem_set(problem, status > STATUS_OK && status <= STATUS_DEGRADED ? (enum status)status : STATUS_FAILED,
			   "%s has failed; journalctl -u %s has the reason", unit, unit);
}

int service_start(const struct settings *settings, bool configured, bool waits, struct problem *problem)
{
	char unit[SETTINGS_MOST_NAME + 32];
	const char *const start[] = { "systemctl", "start", "--quiet", waits ? unit : "--no-block", waits ? NULL : unit, NULL };
	int status;

	snprintf(unit, sizeof(unit), "platter@%s.service", settings->name);
	if (!configured && write_settings(settings, problem) < 0)
		return -1;
	status = systemctl(start, NULL, 0);
	if (status == 0)
		return 0;
	if (status == NO_UNIT || status < 0)
		problem_set(problem, STATUS_NOT_ATTACHED, "systemd has no platter@.service");
	else
		take_failure(unit, problem);
	if (!configured)
		service_forget(settings->name);
	return -1;
}

/* --- Being one */

#ifdef HAVE_SYSTEMD

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

#else

bool service_manager_runs(void)
{
	return false;
}

void service_ready(void)
{
}

void service_status(const char *format, ...)
{
	(void)format;
}

void service_keep(unsigned which, int fd)
{
	(void)which, (void)fd;
}

void service_drop(unsigned which)
{
	(void)which;
}

void service_take(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fds[i] = -1;
}

#endif
