/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-generator: has systemd attach at boot what is configured, and each device before whatever needs it; see
 * platter-generator(8).  It runs before anything else does: files are all that it looks at.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/platter/config.h"
#include "client/platter/device.h"
#include "client/platter/unit.h"
#include "common/log.h"

#define PATH 1024
#define TEMPLATE UNIT_DIRECTORY "/platter@.service"
/* Of a name, in the worst case. */
#define UNIT (64 + 4 * SETTINGS_MOST_NAME)

static int failed(const char *path)
{
	log_error("%s: %s", path, strerror(errno));
	return -1;
}

/* Has it started at boot. */
static int want(const char *directory, const char *name)
{
	char path[PATH];

	snprintf(path, sizeof(path), "%s/remote-fs.target.wants", directory);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return failed(path);
	snprintf(path, sizeof(path), "%s/remote-fs.target.wants/platter@%s.service", directory, name);
	return symlink(TEMPLATE, path) < 0 && errno != EEXIST ? failed(path) : 0;
}

/* Whoever needs the device PATH comes behind the service, and ends before it. */
static void write_target(FILE *file, const char *path)
{
	char target[UNIT];

	if (unit_of_path(target, sizeof(target), "blockdev", path, "target") == 0)
		fprintf(file, "Wants=%s\nBefore=%s\n", target, target);
}

static void write_lines(FILE *file, const struct config *config)
{
	char path[UNIT];

	fprintf(file, "# By platter-generator.\n[Unit]\nSourcePath=%s\n", config->file);
	snprintf(path, sizeof(path), "/dev/disk/by-id/nbd-%s", config->settings.name);
	write_target(file, path);
	if (config->settings.device >= 0)
		write_target(file, device_path(path, (unsigned)config->settings.device));
}

static int order(const char *directory, const struct config *config)
{
	char path[PATH];
	FILE *file;
	bool written;

	snprintf(path, sizeof(path), "%s/platter@%s.service.d", directory, config->settings.name);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return failed(path);
	strcat(path, "/50-order.conf");
	file = fopen(path, "we");
	if (!file)
		return failed(path);
	write_lines(file, config);
	written = !ferror(file);
	return fclose(file) == 0 && written ? 0 : failed(path);
}

/* One that is wrong doesn't keep the others. */
static int generate(const char *directory, const struct config *config)
{
	if (config->problem.status != STATUS_OK) {
		log_warning("%s", config->problem.text);
		return 0;
	}
	if (!config->manual && want(directory, config->settings.name) < 0)
		return -1;
	return order(directory, config);
}

int main(int argc, char **argv)
{
	struct problem problem;
	struct config *list;
	int count, result = 0;

	log_open("platter-generator", LOG_LEVEL_NOTICE);
	if (argc != 4 || strlen(argv[1]) > PATH / 2) {
		log_error("which directories? systemd gives three");
		return 1;
	}
	count = config_list(&list, &problem);
	if (count < 0) {
		log_error("%s", problem.text);
		return 1;
	}
	for (int i = 0; i < count; i++)
		if (generate(argv[1], &list[i]) < 0)
			result = 1;
	config_list_free(list, count);
	return result;
}
