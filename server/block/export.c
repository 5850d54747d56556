/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <platter/driver.h>

#include "common/clock.h"
#include "server/block/disk.h"
#include "server/block/registry.h"

static struct list_head exports = LIST_HEAD_INIT(exports);
static pthread_mutex_t references_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t reference_gone = PTHREAD_COND_INITIALIZER;

struct list_head *export_list(void)
{
	return &exports;
}

static struct export *find(const char *name, size_t length)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (length == 0 || (strlen(export->name) == length && memcmp(export->name, name, length) == 0))
			return export;
	}
	return NULL;
}

bool export_exists(const char *name)
{
	return find(name, strlen(name)) != NULL;
}

struct export *export_other(const struct disk *disk, const struct export *than)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (export->disk == disk && export != than)
			return export;
	}
	return NULL;
}

static void export_free(struct export *export)
{
	disk_put(export->disk);
	free(export->name);
	free(export->description);
	free(export);
}

static struct export *export_new(const char *name, const char *description, struct disk *disk)
{
	struct export *export = calloc(1, sizeof(*export));

	if (!export)
		return NULL;
	export->references = 1;
	export->disk = disk_get(disk);
	export->name = strdup(name);
	export->description = description ? strdup(description) : NULL;
	if (!export->name || (description && !export->description)) {
		export_free(export);
		return NULL;
	}
	return export;
}

int export_add(const char *name, const char *description, struct disk *disk, bool read_only)
{
	struct export *export = export_new(name, description, disk);
	int result = 0;

	if (!export)
		return -ENOMEM;
	export->read_only = read_only;
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

static void reference(struct export *export)
{
	pthread_mutex_lock(&references_lock);
	export->references++;
	pthread_mutex_unlock(&references_lock);
}

struct export *export_get(const char *name, size_t length)
{
	struct export *export;

	registry_lock();
	export = find(name, length);
	if (export)
		reference(export);
	registry_unlock();
	return export;
}

void export_put(struct export *export)
{
	unsigned left;

	if (!export)
		return;
	pthread_mutex_lock(&references_lock);
	left = --export->references;
	pthread_cond_broadcast(&reference_gone);
	pthread_mutex_unlock(&references_lock);
	if (left == 0)
		export_free(export);
}

static bool set_listed(struct export *export, bool listed)
{
	bool changed;

	registry_lock();
	changed = list_empty(&export->link) == listed;
	list_del_init(&export->link);
	if (listed)
		list_add_tail(&export->link, &exports);
	registry_unlock();
	return changed;
}

/* Waits, until UNTIL, for all references but the list's and the caller's; the number of those that are left. */
static unsigned wait_for_sessions(const struct export *export, uint64_t until)
{
	const struct timespec limit = { .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };
	unsigned left;
	int result = 0;

	pthread_mutex_lock(&references_lock);
	while (export->references > 2 && result != ETIMEDOUT)
		result = pthread_cond_clockwait(&reference_gone, &references_lock, CLOCK_MONOTONIC, &limit);
	left = export->references - 2;
	pthread_mutex_unlock(&references_lock);
	return left;
}

int export_remove(struct export *export, uint64_t wait_ns, struct platter_error *error)
{
	unsigned left;

	if (!set_listed(export, false))
		return platter_fail(error, ENOENT, "%s has been removed already", export->name);
	left = wait_for_sessions(export, clock_ns() + wait_ns);
	if (left) {
		set_listed(export, true);
		return platter_fail(error, EBUSY, "%s is in use by %u", export->name, left);
	}
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

unsigned export_users(const struct export *export)
{
	unsigned users;

	pthread_mutex_lock(&references_lock);
	users = export->references - 1;
	pthread_mutex_unlock(&references_lock);
	return users;
}

const char *export_description(const struct export *export)
{
	return export->description ? export->description : export->disk->description;
}
