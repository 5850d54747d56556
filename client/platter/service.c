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
#define PATH 256
#define SAID_SIZE 256
/* What systemctl exits with where there is no such unit: the LSB's "program is not installed". */
#define NO_UNIT 5

extern char **environ;

/* --- Having one started */

/* KIND: "conf" is what it is to do, "problem" why it couldn't. */
static void path_of(char *path, const char *name, const char *kind)
{
	snprintf(path, PATH, "%s/%s.%s", SERVICE_DIRECTORY, name, kind);
}

static FILE *create(char *path, const char *name, const char *kind)
{
	(void)mkdir("/run/platter", 0755);
	(void)mkdir(SERVICE_DIRECTORY, 0755);
	path_of(path, name, kind);
	return fopen(path, "we");
}

static void forget(const char *name, const char *kind)
{
	char path[PATH];

	path_of(path, name, kind);
	unlink(path);
}

static int write_settings(const struct settings *settings, struct problem *problem)
{
	char path[PATH];
	FILE *file = create(path, settings->name, "conf");
	bool written;

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
	forget(name, "conf");
}

/* What is written to END, up to its end: the first line of it. */
static void read_line(int end, char *line, size_t size)
{
	FILE *file = fdopen(end, "r");

	if (!file || !fgets(line, (int)size, file))
		*line = '\0';
	line[strcspn(line, "\n")] = '\0';
	while (file && fgetc(file) != EOF)
		;
	if (file)
		fclose(file);
	else
		close(end);
}

/* Its exit status, -1: it can't be run; and the first line of its complaints in SAID, of SAID_SIZE bytes. */
static int systemctl(const char *const *words, char *said)
{
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1;
	pid_t pid;

	*said = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	if (posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	read_line(ends[0], said, SAID_SIZE);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The service has failed, and has left a word on that; or it couldn't even begin, of which systemctl SAID something. */
static void take_failure(const char *name, const char *unit, const char *said, struct problem *problem)
{
	const char *const stop[] = { "systemctl", "stop", unit, NULL }, *const reset[] = { "systemctl", "reset-failed", unit, NULL };
	char path[PATH], text[sizeof(problem->text)], ignored[SAID_SIZE];
	int status = STATUS_FAILED;
	FILE *file;

	problem_set(problem, geteuid() == 0 ? STATUS_FAILED : STATUS_PERMISSION, "systemd can't start %s: %s", unit, said);
	/* It would try again for ever, though nobody waits for it; and who wanted it knows that it has failed. */
	systemctl(stop, ignored);
	systemctl(reset, ignored);
	path_of(path, name, "problem");
	file = fopen(path, "re");
	if (file && fscanf(file, "%d ", &status) == 1 && status > STATUS_OK && status <= STATUS_DEGRADED && fgets(text, sizeof(text), file))
		problem_set(problem, (enum status)status, "%.*s", (int)strcspn(text, "\n"), text);
	if (file)
		fclose(file);
	forget(name, "problem");
}

int service_start(const struct settings *settings, bool configured, bool waits, struct problem *problem)
{
	char unit[SETTINGS_MOST_NAME + 32];
	const char *const start[] = { "systemctl", "start", waits ? unit : "--no-block", waits ? NULL : unit, NULL };
	char said[SAID_SIZE];
	int status;

	snprintf(unit, sizeof(unit), "platter@%s.service", settings->name);
	if (!configured && write_settings(settings, problem) < 0)
		return -1;
	forget(settings->name, "problem");
	status = systemctl(start, said);
	if (status == 0)
		return 0;
	if (status == NO_UNIT || status < 0)
		problem_set(problem, STATUS_NOT_ATTACHED, "systemd has no platter@.service");
	else
		take_failure(settings->name, unit, said, problem);
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

void service_failed(const char *name, const struct problem *problem)
{
	char path[PATH];
	FILE *file;

	service_status("%s", problem->text);
	if (!getenv("NOTIFY_SOCKET") || !(file = create(path, name, "problem")))
		return;
	fprintf(file, "%d %s\n", (int)problem->status, problem->text);
	fclose(file);
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

void service_failed(const char *name, const struct problem *problem)
{
	(void)name, (void)problem;
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
