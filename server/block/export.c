/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "server/block/access.h"
#include "server/block/disk.h"
#include "server/block/registry.h"
#include "server/block/usage.h"

static struct list_head exports = LIST_HEAD_INIT(exports);

struct list_head *export_list(void)
{
	return &exports;
}

static struct export *find(const char *name, size_t length)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (strlen(export->name) == length && memcmp(export->name, name, length) == 0)
			return export;
	}
	return NULL;
}

/* Whether a client may know of it that does, or doesn't, use TLS. */
static bool is_known(const struct export *export, bool tls)
{
	return !export->removing && (tls || !export->tls);
}

/* What a client gets that names none. */
static struct export *first(bool tls)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (is_known(export, tls))
			return export;
	}
	return NULL;
}

bool export_exists(const char *name)
{
	return find(name, strlen(name)) != NULL;
}

struct export *export_other(const struct disk *disk, const char *name)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (export->disk == disk && !(name && strcmp(export->name, name) == 0))
			return export;
	}
	return NULL;
}

static void export_free(struct export *export)
{
	export_put(export->successor);
	disk_put(export->disk);
	access_put(export->access);
	free(export->name);
	free(export->description);
	free(export->uuid);
	free(export);
}

static struct export *export_new(const char *name, const char *description, const char *uuid, struct disk *disk)
{
	struct export *export = calloc(1, sizeof(*export));

	if (!export)
		return NULL;
	export->references = 1;
	list_init(&export->link);
	export->disk = disk_get(disk);
	export->name = strdup(name);
	export->description = description ? strdup(description) : NULL;
	export->uuid = uuid ? strdup(uuid) : NULL;
	if (!export->name || (description && !export->description) || (uuid && !export->uuid)) {
		export_free(export);
		return NULL;
	}
	return export;
}

int export_add(const char *name, const char *description, const char *uuid, struct disk *disk, bool read_only, bool tls,
	       struct access *access)
{
	struct export *export = export_new(name, description, uuid, disk);
	int result = 0;

	if (!export)
		return -ENOMEM;
	export->read_only = read_only;
	export->tls = tls;
	export->access = access_get(access);
	registry_lock();
	/* A disk's own name is kept for it, even while it isn't exported under it. */
	if (export_exists(name) || disk_name_is_other(name, disk))
		result = -EEXIST;
	else if (disk->state != DISK_LIVE)
		result = -ENODEV;
	else
		list_add_tail(&export->link, &exports);
	registry_unlock();
	if (result < 0)
		export_free(export);
	return result;
}

struct export *export_use(const char *name, size_t length, bool tls)
{
	struct export *export;

	registry_lock();
	export = length ? find(name, length) : first(tls);
	if (export && !is_known(export, tls))
		export = NULL;
	if (export) {
		export->references++;
		export->users++;
	}
	registry_unlock();
	return export;
}

void export_unuse(struct export *export)
{
	if (!export)
		return;
	registry_lock();
	for (struct export *at = export; at; at = at->successor)
		at->users--;
	registry_changed();
	registry_unlock();
	export_put(export);
}

struct export *export_get(const char *name)
{
	struct export *export;

	registry_lock();
	export = find(name, strlen(name));
	if (export)
		export->references++;
	registry_unlock();
	return export;
}

void export_put(struct export *export)
{
	unsigned left;

	if (!export)
		return;
	registry_lock();
	left = --export->references;
	registry_unlock();
	if (left == 0)
		export_free(export);
}

/* With the registry's lock held, which is let go meanwhile: 0, or how many sessions are left. */
static unsigned wait_for_sessions(const struct export *export, const struct patience *patience)
{
	while (export->users && patience_lasts(patience))
		registry_wait(patience_step(patience));
	return export->users;
}

/* With the lock held. */
static int shut(struct export *export, struct platter_error *error)
{
	if (export->removing || list_empty(&export->link))
		return platter_fail(error, ENOENT, "%s is being removed already", export->name);
	export->removing = true;
	return 0;
}

int export_shut(struct export *export, struct platter_error *error)
{
	int result;

	registry_lock();
	result = shut(export, error);
	registry_unlock();
	return result;
}

int export_remove_shut(struct export *export, const struct patience *patience, struct platter_error *error)
{
	unsigned left;
	int result = 0;

	registry_lock();
	left = wait_for_sessions(export, patience);
	export->removing = left == 0;
	if (left)
		result = usage_fail_clients(export->name, left, error);
	else
		list_del_init(&export->link);
	registry_unlock();
	if (result == 0)
		export_put(export);
	return result;
}

int export_remove(struct export *export, const struct patience *patience, struct platter_error *error)
{
	int result = 0;

	registry_lock();
	/* Without patience clients don't even notice. */
	if (export->users && !patience->until && !export->removing)
		result = usage_fail_clients(export->name, export->users, error);
	if (result == 0)
		result = shut(export, error);
	registry_unlock();
	return result < 0 ? result : export_remove_shut(export, patience, error);
}

int export_replace(struct export *export, const char *description, bool tls, struct access *access)
{
	struct export *successor = export_new(export->name, description, export->uuid, export->disk);

	if (!successor)
		return -ENOMEM;
	successor->read_only = export->read_only;
	successor->tls = tls;
	successor->access = access_get(access);
	registry_lock();
	if (export->removing || list_empty(&export->link)) {
		registry_unlock();
		export_put(successor);
		return -ENOENT;
	}
	successor->users = export->users;
	list_add(&successor->link, &export->link);
	list_del_init(&export->link);
	/* The list's reference and the old one's. */
	successor->references++;
	export->successor = successor;
	registry_unlock();
	export_put(export);
	return 0;
}

void export_remove_disk(const struct disk *disk)
{
	struct export *export;

	do {
		registry_lock();
		export = export_other(disk, NULL);
		if (export)
			list_del_init(&export->link);
		registry_unlock();
		export_put(export);
	} while (export);
}

void export_remove_all(void)
{
	struct list_head *node;

	while ((node = list_pop(&exports)))
		export_put(container_of(node, struct export, link));
}

struct export *export_of_partition(const struct disk *disk)
{
	struct export *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);
		bool own = export->disk->whole == disk && strcmp(export->name, export->disk->name) == 0;

		if (own && !export->removing && (export->access != disk->access || export->tls != disk->tls) && !found)
			found = export;
	}
	if (found)
		found->references++;
	registry_unlock();
	return found;
}

const char *export_description(const struct export *export)
{
	return export->description ? export->description : export->disk->description;
}

const char *export_uuid(const struct export *export)
{
	return export->uuid ? export->uuid : export->disk->identity.uuid;
}
