/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/access.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/partitions.h"
#include "server/block/registry.h"
#include "server/definition.h"
#include "server/disk_events.h"
#include "server/net/conn.h"
#include "server/net/credentials.h"
#include "server/reactor.h"
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
	if (result < 0)
		return result;
	limits_adopt(&(*ret)->limits, &spec->limits);
	(*ret)->emulates = spec->emulates;
	result = identity_settle(*ret, spec->uuid, error);
	if (result < 0)
		disk_force_remove(*ret);
	return result;
}

static int add_export(const struct spec *spec, struct disk *disk, struct platter_error *error)
{
	const char *name = spec->disk ? spec->name : disk->name;
	int result = export_add(name, spec->disk ? spec->description : NULL, spec->disk ? spec->uuid : NULL, disk,
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
	return platter_fail(error, EINVAL, "tls: nobody could use it: the server has neither certificates nor keys, see "
			    "--tls-certificates and --tls-psk");
}

int admin_add(const char *text, enum roster_origin origin, struct export **ret, struct platter_error *error)
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
	if (result == 0)
		roster_add(spec.disk ? spec.name : disk->name, text, origin);
	if (result == 0 && ret)
		*ret = spec.unlisted ? NULL : export_get(spec.disk ? spec.name : disk->name);
	disk_put(disk);
	spec_free(&spec);
	return result;
}

/* Gives the export of DISK's own name, unless it has none, and those of its partitions the rules of SPEC. */
static int change_rules(struct disk *disk, const struct spec *spec)
{
	struct export *export = export_get(disk->name);
	struct access *before;
	int result = 0;

	registry_lock();
	before = disk->access;
	disk->access = access_get(spec->access);
	disk->tls = spec->tls;
	registry_unlock();
	access_put(before);
	if (export && export->disk == disk)
		result = export_replace(export, spec->description ? spec->description : spec->driver->description, spec->tls,
					spec->access);
	export_put(export);
	while (result == 0 && (export = export_of_partition(disk))) {
		result = export_replace(export, NULL, spec->tls, spec->access);
		export_put(export);
	}
	return result;
}

/* What DEFINITION says of its disk's queue. */
static int change_queue(struct disk *disk, const struct definition *definition, struct platter_error *error)
{
	struct list_head *node;
	int result = 0;

	list_for_each(node, &definition->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		if (result == 0 && strncmp(key->name, spec_queue_prefix, strlen(spec_queue_prefix)) == 0)
			result = limits_set(&disk->limits, key->name + strlen(spec_queue_prefix), key->value, error);
	}
	return result;
}

/* Another export of a disk, by its name. */
static int change_other(const struct spec *spec)
{
	struct export *export = export_get(spec->name);
	int result = export ? export_replace(export, spec->description, spec->tls, spec->access) : -ENOENT;

	export_put(export);
	return result;
}

static int change_disk(const struct definition *definition, const struct spec *spec, struct platter_error *error)
{
	struct disk *disk = disk_find(definition->name);
	int result = disk ? change_queue(disk, definition, error) : -ENOENT;

	if (result == 0)
		result = change_rules(disk, spec);
	disk_put(disk);
	return result;
}

int admin_change(const struct definition *definition, struct platter_error *error)
{
	char *text = definition_spec(definition);
	struct spec spec;
	int result = text ? spec_parse(&spec, text, error) : -ENOMEM;

	free(text);
	if (result < 0)
		return result;
	result = check_tls(&spec, error);
	if (result == 0)
		result = spec.disk ? change_other(&spec) : change_disk(definition, &spec, error);
	spec_free(&spec);
	return result < 0 && !error->text[0] ? platter_fail(error, -result, "%s", strerror(-result)) : result;
}

struct leaving {
	const struct disk *disk; /* with its partitions; NULL: only... */
	const char *export;      /* ...the one that is called so */
};

static void ask_to_leave(struct reactor *reactor, void *argument)
{
	const struct leaving *leaving = argument;

	conn_drain_users(reactor, leaving->disk, leaving->export);
}

static int remove_disk(struct disk *disk, const struct patience *patience, bool drain, struct platter_error *error)
{
	int result = disk_shut_begin(disk, false, patience, error);

	if (result == 0 && drain)
		reactors_call(ask_to_leave, &(struct leaving){ .disk = disk });
	if (result == 0)
		result = disk_shut_end(disk, patience, error);
	if (result == 0)
		disk_drop(disk);
	return result;
}

static int remove_export(struct export *export, const struct patience *patience, bool drain, struct platter_error *error)
{
	int result;

	if (!drain)
		return export_remove(export, patience, error);
	result = export_shut(export, error);
	if (result < 0)
		return result;
	reactors_call(ask_to_leave, &(struct leaving){ .export = export->name });
	return export_remove_shut(export, patience, error);
}

/* The disk goes with the export of its own name. */
int admin_remove(const char *name, const struct patience *patience, bool drain, struct platter_error *error)
{
	struct export *export = export_get(name);
	struct disk *disk = export && strcmp(export->disk->name, name) != 0 ? NULL : disk_find(name);
	int result;

	if (disk)
		result = remove_disk(disk, patience, drain, error);
	else if (export)
		result = remove_export(export, patience, drain, error);
	else
		result = platter_fail(error, ENOENT, "there is no export named \"%s\"", name);
	if (result == 0)
		roster_remove(name);
	disk_put(disk);
	export_put(export);
	return result;
}
