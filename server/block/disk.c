/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/args.h"
#include "server/block/block.h"
#include "server/block/device.h"
#include "server/block/driver.h"
#include "server/block/export.h"
#include "server/block/registry.h"

/* How long the users of a disk whose driver goes are waited for at a time. */
#define REMOVE_NS (UINT64_C(10) * 1000000000)

static struct list_head disks = LIST_HEAD_INIT(disks);
static unsigned next_home;
static unsigned reactor_count = 1;
static struct pool *control_pool;
static disk_each_block *each_block;
static atomic_bool any_failed;

void disk_init(unsigned reactors, struct pool *control, disk_each_block *each)
{
	reactor_count = reactors;
	control_pool = control;
	each_block = each;
}

struct list_head *disk_list(void)
{
	return &disks;
}

bool disk_name_is_other(const char *name, const struct disk *disk)
{
	struct list_head *node;

	list_for_each(node, &disks) {
		const struct disk *other = container_of(node, struct disk, link);

		if (other != disk && strcmp(other->name, name) == 0)
			return true;
	}
	return false;
}

struct disk *disk_find(const char *name)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->state == DISK_LIVE && strcmp(disk->name, name) == 0)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

static void disk_free(struct disk *disk)
{
	open_destroy(&disk->open);
	pthread_mutex_destroy(&disk->calls);
	args_free(disk->args);
	driver_put(disk->driver);
	free(disk->queues);
	free(disk->io);
	free(disk->description);
	free(disk->name);
	free(disk);
}

struct disk *disk_get(struct disk *disk)
{
	atomic_fetch_add(&disk->references, 1);
	return disk;
}

void disk_put(struct disk *disk)
{
	if (disk && atomic_fetch_sub(&disk->references, 1) == 1)
		disk_free(disk);
}

static struct disk *disk_new(const struct platter_driver *driver, const char *description)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->references = 1;
	disk->driver = driver_ref(driver);
	pthread_mutex_init(&disk->calls, NULL);
	open_init(&disk->open, control_pool);
	list_init(&disk->link);
	disk->description = strdup(description ? description : driver->description);
	disk->queues = calloc(reactor_count, sizeof(*disk->queues));
	disk->io = calloc(reactor_count, sizeof(*disk->io));
	if (!disk->description || !disk->queues || !disk->io) {
		disk_put(disk);
		return NULL;
	}
	for (unsigned i = 0; i < reactor_count; i++) {
		queue_init(&disk->queues[i], disk);
		list_init(&disk->io[i].writes_waiting);
		list_init(&disk->io[i].writes_running);
		list_init(&disk->io[i].commit);
		list_init(&disk->io[i].waiting);
	}
	return disk;
}

static bool name_is_taken(const char *name)
{
	return disk_name_is_other(name, NULL) || export_exists(name);
}

/* NAME, or DRIVER0, DRIVER1, ...: the first that is free. */
static char *choose_name(const char *name, const char *driver)
{
	char *chosen = NULL;

	if (name)
		return strdup(name);
	for (unsigned number = 0;; number++) {
		if (asprintf(&chosen, "%s%u", driver, number) < 0)
			return NULL;
		if (!name_is_taken(chosen))
			return chosen;
		free(chosen);
	}
}

static bool minor_is_taken(unsigned major, unsigned minor)
{
	struct list_head *node;

	list_for_each(node, &disks) {
		const struct disk *disk = container_of(node, struct disk, link);

		if (disk->major == major && disk->minor == minor)
			return true;
	}
	return false;
}

/* Takes a name and the first free minor; nobody finds the disk yet. */
static int reserve(struct disk *disk, const char *name, struct platter_error *error)
{
	int result = 0;

	registry_lock();
	disk->major = device_major(disk->driver->name);
	while (disk->minor < DEVICE_MINORS && minor_is_taken(disk->major, disk->minor))
		disk->minor++;
	disk->name = choose_name(name, disk->driver->name);
	disk->driver_side.name = disk->name;
	if (!disk->name)
		result = platter_fail(error, ENOMEM, "no memory");
	else if (name && name_is_taken(name))
		result = platter_fail(error, EEXIST, "there is already an export of this name");
	else if (disk->minor == DEVICE_MINORS)
		result = platter_fail(error, ENOSPC, "%s has no free minor number", disk->driver->name);
	else
		list_add_tail(&disk->link, &disks);
	registry_unlock();
	return result;
}

static void set_state(struct disk *disk, enum disk_state state)
{
	registry_lock();
	disk->state = state;
	registry_unlock();
}

/* Nobody finds it any more. */
static void take_out(struct disk *disk)
{
	registry_lock();
	list_del_init(&disk->link);
	registry_unlock();
}

int disk_add(struct disk **ret, const struct platter_driver *driver, const char *name, const char *description,
	     struct args *args, bool read_only, struct platter_error *error)
{
	struct disk *disk = disk_new(driver, description);
	int result;

	if (!disk) {
		args_free(args);
		return platter_fail(error, ENOMEM, "no memory");
	}
	disk->args = args;
	disk->read_only = read_only;
	result = reserve(disk, name, error);
	if (result == 0)
		result = driver->probe(&disk->driver_side, args_driver_side(args), read_only, error);
	if (result < 0) {
		take_out(disk);
		disk_put(disk);
		return result;
	}
	*ret = disk_get(disk);
	registry_lock();
	disk->home = next_home++ % reactor_count;
	disk->state = DISK_LIVE;
	registry_unlock();
	return 0;
}

static bool start_removing(struct disk *disk)
{
	bool live;

	registry_lock();
	live = disk->state == DISK_LIVE;
	if (live)
		disk->state = DISK_REMOVING;
	registry_unlock();
	return live;
}

/* A reactor may still mean to look at it this turn, for nothing. */
static void forget(struct block *block, void *argument)
{
	struct disk *disk = argument;

	list_del_init(&disk->queues[block->index].dirty);
	list_del_init(&disk->io[block->index].commit);
}

int disk_remove(struct disk *disk, uint64_t wait_ns, struct platter_error *error)
{
	int result;

	if (!start_removing(disk))
		return platter_fail(error, ENODEV, "%s is being removed already", disk->name);
	result = open_shut(disk, wait_ns, error);
	if (result < 0) {
		set_state(disk, DISK_LIVE);
		return result;
	}
	export_remove_disk(disk);
	each_block(forget, disk);
	pthread_mutex_lock(&disk->calls);
	disk->removed = true;
	if (disk->driver->remove)
		disk->driver->remove(&disk->driver_side);
	pthread_mutex_unlock(&disk->calls);
	take_out(disk);
	disk_put(disk);
	return 0;
}

/* The first disk of DRIVER, a reference. */
static struct disk *disk_of_driver(const struct platter_driver *driver)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->driver == driver && !found)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

void disk_remove_driver(const struct platter_driver *driver)
{
	struct platter_error error = { "" };
	struct disk *disk;

	while ((disk = disk_of_driver(driver))) {
		log_warning("%s: removed with its driver, %s", disk->name, driver->name);
		if (disk_remove(disk, REMOVE_NS, &error) < 0)
			log_error("%s: cannot be removed: %s; still waiting", disk->name, error.text);
		disk_put(disk);
	}
}

void disk_remove_all(void)
{
	struct list_head *node;

	while ((node = list_pop(&disks))) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->driver->remove)
			disk->driver->remove(&disk->driver_side);
		disk_put(disk);
	}
}

bool disk_any_thread(const struct disk *disk)
{
	return disk->read_only || (disk->geometry.capabilities & PLATTER_DISK_ANY_THREAD);
}

void disk_failed(struct disk *disk, int error)
{
	atomic_store(&any_failed, true);
	if (atomic_exchange(&disk->failure, error) == 0)
		log_error("%s: making data durable failed: %s; every flush fails from now on, because earlier writes may be lost",
			  disk->name, strerror(-error));
}

int disk_failure(const struct disk *disk)
{
	return atomic_load_explicit(&disk->failure, memory_order_relaxed);
}

bool disk_any_failed(void)
{
	return atomic_load(&any_failed);
}

void platter_disk_set_data(struct platter_disk *disk, void *data)
{
	disk->data = data;
}

void *platter_disk_data(const struct platter_disk *disk)
{
	return disk->data;
}

void platter_disk_set_capacity(struct platter_disk *disk, uint64_t bytes)
{
	atomic_store(&container_of(disk, struct disk, driver_side)->capacity, bytes);
}

const char *platter_disk_name(const struct platter_disk *disk)
{
	return disk->name;
}
