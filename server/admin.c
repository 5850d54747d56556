/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/admin.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "server/block/access.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/partitions.h"
#include "server/block/registry.h"
#include "server/disk_events.h"
#include "server/net/credentials.h"
#include "server/spec.h"

/* The reactors are there. */
static bool running;

static int add_disk(struct spec *spec, struct disk **ret, struct platter_error *error)
{
	int result;

	if (spec->disk) {
		*ret = disk_find(spec->disk);
		return *ret ? 0 : platter_fail(error, ENOENT, "there is no disk named \"%s\"", spec->disk);
	}
	result = disk_add(ret, spec->driver, spec->name, spec->description, spec->args, spec->read_only, error);
	spec->args = NULL;
	if (result == 0)
		limits_adopt(&(*ret)->limits, &spec->limits);
	if (result == 0)
		(*ret)->emulates = spec->emulates;
	return result;
}

static int add_export(const struct spec *spec, struct disk *disk, struct platter_error *error)
{
	const char *name = spec->disk ? spec->name : disk->name;
	int result = export_add(name, spec->disk ? spec->description : NULL, disk,
				spec->read_only || disk->read_only, spec->tls, spec->access);

	if (result == -EEXIST)
		return platter_fail(error, EEXIST, "there is already an export of this name");
	return result < 0 ? platter_fail(error, -result, "%s", strerror(-result)) : 0;
}

/* A disk whose partition table is still to be read; a reference. */
static struct disk *unscanned(void)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->partitions == PARTITIONS_WANTED && disk->state == DISK_LIVE && !found)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

bool admin_wants_scan(void)
{
	struct disk *disk = unscanned();

	running = true;
	disk_put(disk);
	return disk != NULL;
}

void admin_scan_all(void)
{
	struct platter_error error = { "" };
	struct disk *disk;

	while ((disk = unscanned())) {
		if (partitions_add(disk, &error) < 0)
			log_error("%s: no partitions: %s", disk->name, error.text);
		disk_put(disk);
	}
}

/* Makes what follows from a disk that was added. */
static int finish(struct disk *disk, struct platter_error *error)
{
	int result = 0;

	if (disk->events_ms)
		disk_events_changed();
	if (running && disk->partitions == PARTITIONS_WANTED)
		result = partitions_add(disk, error);
	if (result < 0)
		disk_force_remove(disk);
	return result < 0 ? result : 0;
}

/* For its partitions. */
static void keep_rules(struct disk *disk, const struct spec *spec)
{
	disk->tls = spec->tls;
	disk->access = access_get(spec->access);
}

static int check_tls(const struct spec *spec, struct platter_error *error)
{
	if (!spec->tls || credentials_exist())
		return 0;
	return platter_fail(error, EINVAL, "tls: nobody could use it: platterd was started without --tls-certificates and --tls-psk");
}

int admin_add(const char *text, struct export **ret, struct platter_error *error)
{
	struct disk *disk = NULL;
	struct spec spec;
	int result = spec_parse(&spec, text, error);

	if (result < 0)
		return result;
	result = check_tls(&spec, error);
	if (result == 0)
		result = add_disk(&spec, &disk, error);
	if (result == 0 && spec.partitions)
		disk->partitions = PARTITIONS_WANTED;
	if (result == 0 && !spec.disk)
		disk->unlisted = spec.unlisted;
	if (result == 0 && !spec.disk)
		keep_rules(disk, &spec);
	if (result == 0 && !spec.unlisted) {
		result = add_export(&spec, disk, error);
		if (result < 0 && !spec.disk)
			disk_force_remove(disk);
	}
	if (result == 0 && !spec.disk)
		result = finish(disk, error);
	if (result == 0 && ret)
		*ret = spec.unlisted ? NULL : export_get(spec.disk ? spec.name : disk->name);
	disk_put(disk);
	spec_free(&spec);
	return result;
}

/* The disk goes with the export of its own name. */
int admin_remove(const char *name, const struct patience *patience, struct platter_error *error)
{
	struct export *export = export_get(name);
	struct disk *disk = export && strcmp(export->disk->name, name) != 0 ? NULL : disk_find(name);
	int result;

	if (disk)
		result = disk_remove(disk, patience, error);
	else if (export)
		result = export_remove(export, patience, error);
	else
		result = platter_fail(error, ENOENT, "there is no export named \"%s\"", name);
	disk_put(disk);
	export_put(export);
	return result;
}
