/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t spawn(const char *path, const char *const *words, int output, bool quiet)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int error;

	posix_spawn_file_actions_init(&actions);
	if (output >= 0)
		posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (quiet)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	error = posix_spawnp(&pid, path, &actions, NULL, (char *const *)(uintptr_t)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	errno = error;
	return error ? -1 : pid;
}

/* All of it is read, so that nobody writes in vain. */
static void read_all(int fd, char *output, size_t size)
{
	size_t used = 0;
	char more[256];
	ssize_t length;

	while ((length = read(fd, more, sizeof(more))) > 0 || (length < 0 && errno == EINTR)) {
		size_t kept = length < 0 ? 0 : (size_t)length < size - 1 - used ? (size_t)length : size - 1 - used;

		memcpy(output + used, more, kept);
		used += kept;
	}
	output[used] = '\0';
	if (used && output[used - 1] == '\n')
		output[used - 1] = '\0';
}

int program_run(const char *path, const char *const *words, char *output, size_t size, bool quiet)
{
	int ends[2] = { -1, -1 }, status = -1;
	pid_t pid;

	if (output && pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = spawn(path, words, ends[1], quiet);
	if (output) {
		close(ends[1]);
		read_all(ends[0], output, size);
		close(ends[0]);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
