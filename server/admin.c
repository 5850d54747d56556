/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/admin.h"

#include <errno.h>
#include <string.h>

#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/disk_events.h"
#include "server/spec.h"

static int add_disk(struct spec *spec, struct disk **ret, struct platter_error *error)
{
	int result;

	if (spec->disk) {
		*ret = disk_find(spec->disk);
		return *ret ? 0 : platter_fail(error, ENOENT, "there is no disk named \"%s\"", spec->disk);
	}
	result = disk_add(ret, spec->driver, spec->name, spec->description, spec->args, spec->read_only, error);
	spec->args = NULL;
	return result;
}

static int add_export(const struct spec *spec, struct disk *disk, struct platter_error *error)
{
	const char *name = spec->disk ? spec->name : disk->name;
	int result = export_add(name, spec->disk ? spec->description : NULL, disk, spec->read_only || disk->read_only);

	if (result == -EEXIST)
		return platter_fail(error, EEXIST, "there is already an export of this name");
	return result < 0 ? platter_fail(error, -result, "%s", strerror(-result)) : 0;
}

int admin_add(const char *text, struct export **ret, struct platter_error *error)
{
	struct disk *disk = NULL;
	struct spec spec;
	int result = spec_parse(&spec, text, error);

	if (result < 0)
		return result;
	result = add_disk(&spec, &disk, error);
	if (result == 0 && !spec.unlisted) {
		result = add_export(&spec, disk, error);
		if (result < 0 && !spec.disk)
			(void)disk_remove(disk, 0, &(struct platter_error){ "" });
	}
	if (result == 0 && ret)
		*ret = spec.unlisted ? NULL : export_get(spec.disk ? spec.name : disk->name,
							 strlen(spec.disk ? spec.name : disk->name));
	if (result == 0 && disk->events_ms)
		disk_events_changed();
	disk_put(disk);
	spec_free(&spec);
	return result;
}

/* Its disk goes with it, unless it is known by another name as well. */
static int remove_disk(struct export *export, uint64_t wait_ns, struct platter_error *error)
{
	struct export *other;
	char name[64] = "";

	registry_lock();
	other = export_other(export->disk, export);
	if (other)
		(void)!strncat(name, other->name, sizeof(name) - 1);
	registry_unlock();
	if (other)
		return platter_fail(error, EBUSY, "%s is exported as %s, too: remove that first", export->name, name);
	return disk_remove(export->disk, wait_ns, error);
}

int admin_remove(const char *name, uint64_t wait_ns, struct platter_error *error)
{
	struct export *export = *name ? export_get(name, strlen(name)) : NULL;
	struct disk *disk;
	int result;

	if (export && strcmp(export->disk->name, name) != 0) {
		result = export_remove(export, wait_ns, error);
	} else if (export) {
		result = remove_disk(export, wait_ns, error);
	} else if ((disk = disk_find(name))) { /* one that has no export */
		result = disk_remove(disk, wait_ns, error);
		disk_put(disk);
	} else {
		result = platter_fail(error, ENOENT, "there is no export named \"%s\"", name);
	}
	export_put(export);
	return result;
}
