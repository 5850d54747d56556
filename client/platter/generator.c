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

/* Adds LINES to UNIT, whether that will be there or not. */
static int add_to_unit(const char *directory, const char *unit, const char *lines)
{
	char path[PATH];
	FILE *file;
	bool written;

	snprintf(path, sizeof(path), "%s/%s.d", directory, unit);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return failed(path);
	strcat(path, "/50-platter.conf");
	file = fopen(path, "we");
	if (!file)
		return failed(path);
	fprintf(file, "# By platter-generator.\n[Unit]\n%s", lines);
	written = !ferror(file);
	return fclose(file) == 0 && written ? 0 : failed(path);
}

/* Whoever needs the device PATH comes behind the service, whose LINES these are, and ends before it. */
static int order_before(char *lines, size_t size, const char *directory, const char *path)
{
	/* Other swap has to be on before there is a network. */
	static const char late[] = "DefaultDependencies=no\nConflicts=umount.target\nBefore=umount.target\n";
	size_t used = strlen(lines);
	char unit[UNIT];

	if (unit_of_path(unit, sizeof(unit), "blockdev@", path, "target") == 0)
		snprintf(lines + used, size - used, "Wants=%s\nBefore=%s\n", unit, unit);
	return unit_of_path(unit, sizeof(unit), "", path, "swap") == 0 ? add_to_unit(directory, unit, late) : 0;
}

static int order(const char *directory, const struct config *config)
{
	char service[UNIT], path[UNIT], lines[PATH + 4 * UNIT];

	snprintf(lines, sizeof(lines), "SourcePath=%s\n", config->file);
	snprintf(path, sizeof(path), "/dev/disk/by-id/nbd-%s", config->settings.name);
	if (order_before(lines, sizeof(lines), directory, path) < 0)
		return -1;
	if (config->settings.device >= 0 &&
	    order_before(lines, sizeof(lines), directory, device_path(path, (unsigned)config->settings.device)) < 0)
		return -1;
	snprintf(service, sizeof(service), "platter@%s.service", config->settings.name);
	return add_to_unit(directory, service, lines);
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
