/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/users.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "client/platter/program.h"

struct found {
	char disk[16];           /* nbdN */
	char *text;
	size_t size, length;
	char **paths;            /* of mounts and swap, to be freed; with no memory for more some are missing */
	size_t count;
};

static void add(struct found *found, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct found *found, const char *format, ...)
{
	char one[PATH_MAX + 64];
	va_list args;
	int written;

	va_start(args, format);
	vsnprintf(one, sizeof(one), format, args);
	va_end(args);
	if (strstr(found->text, one))
		return;
	written = snprintf(found->text + found->length, found->size - found->length, "%s%s", found->length ? ", " : "", one);
	found->length += (size_t)written;
	if (found->length >= found->size)
		found->length = found->size - 1;
}

static void keep(struct found *found, const char *path)
{
	char **more = reallocarray(found->paths, found->count + 1, sizeof(*more));

	if (!more)
		return;
	found->paths = more;
	found->paths[found->count] = strdup(path);
	found->count += found->paths[found->count] != NULL;
}

static void forget(struct found *found)
{
	while (found->count)
		free(found->paths[--found->count]);
	free(found->paths);
	found->paths = NULL;
}

/* Whether NAME, of something in /sys/class/block, is the disk or one of its partitions. */
static bool is_part(const struct found *found, const char *name)
{
	size_t length = strlen(found->disk);

	return strncmp(name, found->disk, length) == 0 && (name[length] == '\0' || name[length] == 'p');
}

static bool is_number(const struct found *found, dev_t device)
{
	char path[64], target[PATH_MAX];
	const char *name;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(device), minor(device));
	if (!realpath(path, target))
		return false;
	name = strrchr(target, '/');
	return name && is_part(found, name + 1);
}

static void find_holders_of(struct found *found, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			add(found, "used by %s", entry->d_name);
	if (directory)
		closedir(directory);
}

/* Device mapper, md, bcache, ... */
static void find_holders(struct found *found)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/block/%s/holders", found->disk);
	find_holders_of(found, path);
	snprintf(path, sizeof(path), "/sys/block/%s", found->disk);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		if (!is_part(found, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/%s/holders", found->disk, entry->d_name);
		find_holders_of(found, path);
	}
	if (directory)
		closedir(directory);
}

/* The kernel writes \040 for a blank and so on. */
static void decode(char *text)
{
	char *to = text;

	for (const char *at = text; *at; to++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
			*to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

static bool is_node(const struct found *found, const char *path)
{
	struct stat status;

	return path[0] == '/' && stat(path, &status) == 0 && S_ISBLK(status.st_mode) && is_number(found, status.st_rdev);
}

/* proc_pid_mountinfo(5): file systems with a number of their own, such as btrfs, tell their device by its path only. */
static void find_mounts(struct found *found)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		char *point = NULL, *source = NULL, *behind;
		unsigned high, low;
		bool ours = false;

		if (sscanf(line, "%*d %*d %u:%u %*s %ms", &high, &low, &point) == 3) {
			behind = strstr(line, " - ");
			ours = is_number(found, makedev(high, low)) ||
			       (behind && sscanf(behind, " - %*s %ms", &source) == 1 && is_node(found, source));
		}
		if (ours) {
			decode(point);
			add(found, "mounted on %s", point);
			keep(found, point);
		}
		free(point);
		free(source);
	}
	free(line);
	if (file)
		fclose(file);
}

static void find_swap(struct found *found)
{
	FILE *file = fopen("/proc/swaps", "re");
	char *line = NULL;
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		decode(line);
		if (!is_node(found, line))
			continue;
		add(found, "swap on %s", line);
		keep(found, line);
	}
	free(line);
	if (file)
		fclose(file);
}

static bool has_open(const struct found *found, const char *pid)
{
	char path[PATH_MAX];
	struct dirent *entry;
	struct stat status;
	bool open = false;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	while (directory && !open && (entry = readdir(directory)))
		open = fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISBLK(status.st_mode) && is_number(found, status.st_rdev);
	if (directory)
		closedir(directory);
	return open;
}

static void add_process(struct found *found, const char *pid)
{
	char path[PATH_MAX], name[64] = "?";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file && !fgets(name, sizeof(name), file))
		strcpy(name, "?");
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = '\0';
	add(found, "open in %s (%s)", name, pid);
}

static void find_processes(struct found *found)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && has_open(found, entry->d_name))
			add_process(found, entry->d_name);
	if (directory)
		closedir(directory);
}

enum users users_find(unsigned index, char *text, size_t size)
{
	struct found found = { .text = text, .size = size };
	size_t claims;

	*text = '\0';
	snprintf(found.disk, sizeof(found.disk), "nbd%u", index);
	find_mounts(&found);
	find_swap(&found);
	forget(&found);
	find_holders(&found);
	claims = found.length;
	find_processes(&found);
	if (claims)
		return USERS_CLAIM;
	return found.length ? USERS_OPEN : USERS_NONE;
}

/* What PROGRAM complains of is told by whoever finds that PATH is still in use. */
static void run(const char *program, const char *option, const char *path)
{
	const char *const words[] = { program, option, path, NULL };

	(void)program_run(program, words, NULL, 0, true);
}

void users_end(unsigned index)
{
	char text[1];
	struct found found = { .text = text, .size = sizeof(text) };
	size_t mounts;

	*text = '\0';
	snprintf(found.disk, sizeof(found.disk), "nbd%u", index);
	find_mounts(&found);
	mounts = found.count;
	find_swap(&found);
	for (size_t i = found.count; i > mounts; i--)
		run("swapoff", "--", found.paths[i - 1]);
	/* Without helpers, one of which would detach the device. */
	for (size_t i = mounts; i > 0; i--)
		run("umount", "-i", found.paths[i - 1]);
	forget(&found);
}
