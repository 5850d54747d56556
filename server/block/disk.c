/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/args.h"

/* Filled at start and emptied at the end, while no reactor runs. */
static struct list_head disks = LIST_HEAD_INIT(disks);
static unsigned next_home;
static unsigned reactor_count = 1;
static struct pool *control_pool;

void disk_init(unsigned reactors, struct pool *control)
{
	reactor_count = reactors;
	control_pool = control;
}

struct list_head *disk_list(void)
{
	return &disks;
}

struct disk *disk_find(const char *name)
{
	struct list_head *node;

	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (strcmp(disk->name, name) == 0)
			return disk;
	}
	return NULL;
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
		if (!disk_find(chosen))
			return chosen;
		free(chosen);
	}
}

static void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	args_free(disk->args);
	free(disk->queues);
	free(disk->io);
	free(disk->description);
	free(disk->name);
	free(disk);
}

static struct disk *disk_new(const struct platter_driver *driver, const char *name, const char *description)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->driver = driver;
	disk->name = choose_name(name, driver->name);
	disk->description = strdup(description ? description : driver->description);
	disk->queues = calloc(reactor_count, sizeof(*disk->queues));
	disk->io = calloc(reactor_count, sizeof(*disk->io));
	if (!disk->name || !disk->description || !disk->queues || !disk->io) {
		disk_free(disk);
		return NULL;
	}
	disk->driver_side.name = disk->name;
	open_init(&disk->open, control_pool);
	for (unsigned i = 0; i < reactor_count; i++) {
		queue_init(&disk->queues[i], disk);
		list_init(&disk->io[i].writes_waiting);
		list_init(&disk->io[i].writes_running);
		list_init(&disk->io[i].commit);
		list_init(&disk->io[i].waiting);
	}
	return disk;
}

int disk_add(struct disk **ret, const struct platter_driver *driver, const char *name, const char *description,
	     struct args *args, bool read_only, struct platter_error *error)
{
	struct disk *disk;
	int result;

	if (name && disk_find(name)) {
		args_free(args);
		return platter_fail(error, EEXIST, "there is already an export of this name");
	}
	disk = disk_new(driver, name, description);
	if (!disk) {
		args_free(args);
		return platter_fail(error, ENOMEM, "no memory");
	}
	disk->args = args;
	disk->read_only = read_only;
	result = driver->probe(&disk->driver_side, args_driver_side(args), read_only, error);
	if (result < 0) {
		disk_free(disk);
		return result;
	}
	disk->home = next_home++ % reactor_count;
	list_add_tail(&disk->link, &disks);
	*ret = disk;
	return 0;
}

void disk_remove_all(void)
{
	struct list_head *node;

	while ((node = list_pop(&disks))) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->driver->remove)
			disk->driver->remove(&disk->driver_side);
		disk_free(disk);
	}
}

bool disk_any_thread(const struct disk *disk)
{
	return disk->read_only || (disk->geometry.capabilities & PLATTER_DISK_ANY_THREAD);
}

void disk_failed(struct disk *disk, int error)
{
	if (atomic_exchange(&disk->failure, error) == 0)
		log_error("%s: making data durable failed: %s; every flush fails from now on, because earlier writes may be lost",
			  disk->name, strerror(-error));
}

int disk_failure(const struct disk *disk)
{
	return atomic_load_explicit(&disk->failure, memory_order_relaxed);
}

void platter_disk_set_data(struct platter_disk *disk, void *data)
{
	disk->data = data;
}

void *platter_disk_data(const struct platter_disk *disk)
{
	return disk->data;
}

const char *platter_disk_name(const struct platter_disk *disk)
{
	return disk->name;
}
