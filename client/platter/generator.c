/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-generator: has systemd attach at boot what is configured, and each device before whatever needs it; see
 * platter-generator(8).  It runs before anything else does: files are all that it looks at.
 */
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/platter/alias.h"
#include "client/platter/config.h"
#include "client/platter/device.h"
#include "client/platter/unit.h"
#include "common/log.h"

#define PATH 1024
#define TEMPLATE UNIT_DIRECTORY "/platter@.service"
/* systemd has no longer names, and with what is behind it, it is a file's. */
#define UNIT 250

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

/* What is added to UNIT, whether that will be there or not: for end_unit(), NULL: said. */
static FILE *begin_unit(const char *directory, const char *unit)
{
	char path[PATH];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.d", directory, unit);
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		failed(path);
		return NULL;
	}
	strcat(path, "/50-platter.conf");
	file = fopen(path, "we");
	if (!file)
		failed(path);
	else
		fprintf(file, "# By platter-generator.\n[Unit]\n");
	return file;
}

/* NULL is allowed: -1. */
static int end_unit(FILE *file, const char *unit)
{
	bool written = file && !ferror(file);

	if (!file || (fclose(file) == 0 && written))
		return written ? 0 : -1;
	return failed(unit);
}

/* What a service is told of the units that need its device, in its own addition. */
struct order {
	const char *directory, *name;
	FILE *service;
};

/* Other swap has to be on before there is a network. */
static int order_swap(const struct order *order, const char *path)
{
	char unit[UNIT];
	FILE *file;

	if (unit_of_path(unit, sizeof(unit), "", path, "swap") < 0)
		return 0;
	file = begin_unit(order->directory, unit);
	if (file)
		fprintf(file, "DefaultDependencies=no\nConflicts=umount.target\nBefore=umount.target\nAfter=platter@%s.service\n", order->name);
	return end_unit(file, unit);
}

/* Whoever needs the device PATH comes behind the service, and ends before it. */
static int order_before(const struct order *order, const char *path)
{
	char unit[UNIT];

	/*
	 * Not so for the kernel's own names: of all swap that is on, systemd has units by other names, too, as by-uuid, which come
	 * before other swap, and behind this target.
	 */
	if (strncmp(path, "/dev/nbd", 8) != 0 && unit_of_path(unit, sizeof(unit), "blockdev@", path, "target") == 0)
		fprintf(order->service, "Wants=%s\nBefore=%s\n", unit, unit);
	return order_swap(order, path);
}

/* Whether NAME is PATH's partition, a number behind SEPARATOR. */
static bool is_partition(const char *name, const char *path, const char *separator)
{
	size_t length = strlen(path), more = strlen(separator), digits;

	if (strncmp(name, path, length) != 0 || strncmp(name + length, separator, more) != 0)
		return false;
	digits = strspn(name + length + more, "0123456789");
	return digits > 0 && name[length + more + digits] == '\0';
}

/* Of partitions there may be any: those count that fstab has. */
static int order_all(const struct order *order, const char *path, const char *separator)
{
	const char *other = getenv("SYSTEMD_FSTAB");
	FILE *fstab = setmntent(other ? other : "/etc/fstab", "re");
	int result = order_before(order, path);
	struct mntent *entry;

	while (fstab && result == 0 && (entry = getmntent(fstab)))
		if (is_partition(entry->mnt_fsname, path, separator))
			result = order_before(order, entry->mnt_fsname);
	if (fstab)
		endmntent(fstab);
	return result;
}

static int order_names(const struct order *order, const struct settings *settings)
{
	char path[PATH], alias[ALIAS_SIZE];

	snprintf(path, sizeof(path), ALIAS_BY_ID "%s", settings->name);
	if (order_all(order, path, "-part") < 0)
		return -1;
	if (alias_by_path(alias, &settings->uri) == 0) {
		snprintf(path, sizeof(path), ALIAS_BY_PATH "%s", alias);
		if (order_all(order, path, "-part") < 0)
			return -1;
	}
	return settings->device < 0 ? 0 : order_all(order, device_path(path, (unsigned)settings->device), "p");
}

static int order(const char *directory, const struct config *config)
{
	struct order order = { .directory = directory, .name = config->settings.name };
	char unit[UNIT];
	int result;

	snprintf(unit, sizeof(unit), "platter@%s.service", order.name);
	order.service = begin_unit(directory, unit);
	if (!order.service)
		return -1;
	fprintf(order.service, "SourcePath=%s\n", config->file);
	result = order_names(&order, &config->settings);
	return end_unit(order.service, unit) < 0 ? -1 : result;
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
