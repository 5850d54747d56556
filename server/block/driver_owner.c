/* SPDX-License-Identifier: BSD-2-Clause */
/* Drivers of a module that is to go: all of their disks, or none. */
#include <errno.h>
#include <stdlib.h>

#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/error.h"
#include "server/block/registry.h"

static struct driver *of(const struct platter_driver *driver)
{
	return container_of((struct platter_driver *)(uintptr_t)driver, struct driver, driver);
}

static bool is_owned(const struct disk *disk, const void *owner)
{
	/* A partition goes with its disk. */
	return !disk->whole && of(disk->driver)->owner == owner;
}

unsigned driver_owner_users(const void *owner)
{
	struct list_head *node;
	unsigned users = 0;

	registry_lock();
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (is_owned(disk, owner))
			users += disk_users(disk);
	}
	registry_unlock();
	return users;
}

unsigned driver_owner_disks(const void *owner)
{
	struct list_head *node;
	unsigned disks = 0;

	registry_lock();
	list_for_each(node, disk_list())
		disks += is_owned(container_of(node, struct disk, link), owner);
	registry_unlock();
	return disks;
}

/* With the registry's lock held: whether somebody is about to make a disk with one of OWNER's drivers. */
static bool is_making(const void *owner)
{
	struct list_head *node, *other;

	list_for_each(node, driver_list()) {
		const struct driver *driver = container_of(node, struct driver, link);
		unsigned made = 0;

		if (driver->owner != owner)
			continue;
		list_for_each(other, disk_list()) {
			const struct disk *disk = container_of(other, struct disk, link);

			made += disk->driver == &driver->driver && disk->state != DISK_ADDING;
		}
		if (driver->users > 1 + made)
			return true;
	}
	return false;
}

/* With the registry's lock held. */
static void set_shut(const void *owner, bool shut)
{
	struct list_head *node;

	list_for_each(node, driver_list()) {
		struct driver *driver = container_of(node, struct driver, link);

		if (driver->owner == owner)
			driver->shut = shut;
	}
}

void driver_open_owner(const void *owner)
{
	registry_lock();
	set_shut(owner, false);
	registry_unlock();
}

/* The disks of OWNER's drivers, each a reference, NULL-terminated; NULL when there is no memory. */
static struct disk **take_disks(const void *owner)
{
	struct list_head *node;
	struct disk **taken;
	size_t count = 0;

	list_for_each(node, disk_list())
		count++;
	taken = calloc(count + 1, sizeof(struct disk *));
	count = 0;
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (taken && is_owned(disk, owner))
			taken[count++] = disk_get(disk);
	}
	return taken;
}

/* Has everybody leave, all of them or none. */
static int shut_all(struct disk **disks, const struct patience *patience, struct platter_error *error)
{
	struct disk **begun = disks, **ended = disks;
	int result = 0;

	/* First nobody gets into any of them, then those who are in leave. */
	while (*begun && (result = disk_shut_begin(*begun, true, patience, error)) == 0)
		begun++;
	while (result == 0 && *ended && (result = disk_shut_end(*ended, patience, error)) == 0)
		ended++;
	if (result == 0)
		return 0;
	/* The one that would not end is open again already. */
	for (struct disk **at = disks; at < begun; at++)
		if (*begun || at != ended)
			disk_unshut(*at);
	return result == -ENODEV ? -EBUSY : result;
}

int driver_shut_owner(const void *owner, const struct patience *patience, struct platter_error *error)
{
	struct disk **disks = NULL;
	int result = 0;

	registry_lock();
	set_shut(owner, true);
	while (is_making(owner) && patience_lasts(patience))
		registry_wait(patience_step(patience));
	if (is_making(owner))
		result = platter_fail(error, EBUSY, "a disk of its driver is just being made");
	else if (!(disks = take_disks(owner)))
		result = platter_fail(error, ENOMEM, "no memory");
	registry_unlock();
	if (result == 0 && disks)
		result = shut_all(disks, patience, error);
	for (struct disk **at = disks; at && *at; at++) {
		if (result == 0)
			disk_drop(*at);
		disk_put(*at);
	}
	free(disks);
	if (result < 0)
		driver_open_owner(owner);
	return result;
}
