/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/load.h"

/*
 * The process clock: in nanoseconds, unlike the ticks of /proc/PID/stat, and
 * of all threads that the process has or had, unlike /proc/PID/schedstat.
 * io_uring's workers are threads of the process.
 */
static uint64_t process_cpu_ns(pid_t pid)
{
	struct timespec used;
	clockid_t clock;
	int error = clock_getcpuclockid(pid, &clock);

	if (error || clock_gettime(clock, &used) < 0)
		errx(1, "process %d has gone, or its CPU time can't be read", (int)pid);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static uint64_t tree_cpu_ns(pid_t pid);

/* The children of one thread are one line of process ids. */
static uint64_t children_cpu_ns(pid_t pid, const char *thread)
{
	char path[300];
	uint64_t used = 0;
	FILE *file;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, thread);
	file = fopen(path, "re");
	if (!file)
		return 0; /* the thread has ended, or the kernel has no such list */
	while (fscanf(file, "%d", &child) == 1)
		used += tree_cpu_ns(child);
	fclose(file);
	return used;
}

static uint64_t tree_cpu_ns(pid_t pid)
{
	uint64_t used = process_cpu_ns(pid);
	char path[64];
	const struct dirent *entry;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	if (!threads)
		err(1, "%s", path);
	while ((entry = readdir(threads)))
		if (entry->d_name[0] != '.')
			used += children_cpu_ns(pid, entry->d_name);
	closedir(threads);
	return used;
}

uint64_t servers_cpu_ns(const pid_t *servers, unsigned count)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < count; i++)
		used += tree_cpu_ns(servers[i]);
	return used;
}

uint64_t own_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}
