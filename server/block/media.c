/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/media.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/size.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/geometry.h"
#include "server/block/registry.h"

/* Locks the disk's calls, unless its driver has forgotten it meanwhile: -ENODEV. */
static int enter(struct disk *disk, struct platter_error *error)
{
	pthread_mutex_lock(&disk->calls);
	if (!disk->removed)
		return 0;
	pthread_mutex_unlock(&disk->calls);
	return platter_fail(error, ENODEV, "%s has been removed", disk->name);
}

static void lose_above_locked(struct disk *disk)
{
	struct list_head *node;

	list_for_each(node, disk_list()) {
		struct disk *other = container_of(node, struct disk, link);

		if ((other == disk || other->whole == disk) && other->claimed_by) {
			marks_lose(&other->claimed_by->marks);
			lose_above_locked(other->claimed_by);
		}
	}
}

/* For the disks that stand on DISK or its partitions, and those on these, anything may have changed. */
static void lose_above(struct disk *disk)
{
	registry_lock();
	lose_above_locked(disk);
	registry_unlock();
}

static void lose_marks(struct disk *disk)
{
	marks_lose(&disk->marks);
	lose_above(disk);
}

/* With the disk's calls locked: what its driver says of the size is checked like what it says at open. */
static int revalidate(struct disk *disk, bool *changed, struct platter_error *error)
{
	uint64_t before = disk_capacity(disk);
	uint64_t bytes = before;
	char was[32], is[32];
	int result = driver_result(disk->driver->ops->revalidate(&disk->driver_side, &bytes, error), error);

	*changed = false;
	if (result < 0)
		return result;
	/* Without a block it was never open. */
	result = geometry_check_size(bytes, disk->geometry.min_block ? disk->geometry.min_block : 1, error);
	if (result < 0)
		return result;
	if (bytes == before)
		return 0;
	*changed = true;
	atomic_store(&disk->capacity, bytes);
	/* What is new at the end is other data than before, and stays so. */
	marks_change(&disk->marks, before < bytes ? before : bytes, before < bytes ? bytes - before : before - bytes);
	lose_above(disk);
	disk_log(disk, NOTICE, "its size is %s, it was %s", size_format(is, bytes), size_format(was, before));
	return 0;
}

int media_revalidate(struct disk *disk, bool *changed, struct platter_error *error)
{
	int result;

	*changed = false;
	if (!disk->driver->ops->revalidate)
		return platter_fail(error, EOPNOTSUPP, "a disk of the driver %s keeps its size", disk->driver->name);
	result = enter(disk, error);
	if (result < 0)
		return result;
	result = revalidate(disk, changed, error);
	pthread_mutex_unlock(&disk->calls);
	return result;
}

int media_resize(struct disk *disk, uint64_t bytes, struct platter_error *error)
{
	const struct platter_disk_ops *ops = disk->driver->ops;
	bool smaller = bytes < disk_capacity(disk);
	bool changed;
	int result = 0;

	if (!ops->resize || !ops->revalidate)
		return platter_fail(error, EOPNOTSUPP, "a disk of the driver %s cannot be resized", disk->driver->name);
	if (bytes == 0)
		return platter_fail(error, EINVAL, "a disk cannot have the size 0");
	if (disk->read_only)
		return platter_fail(error, EROFS, "%s is read-only", disk->name);
	/* What would be cut off may be in use, by requests that have passed the check of their range, too. */
	if (smaller && open_shut(disk, PATIENCE_NONE, error) < 0)
		return platter_fail(error, EBUSY, "%s is in use: it can only become larger", disk->name);
	result = enter(disk, error);
	if (result == 0) {
		if (disk->geometry.min_block && bytes % disk->geometry.min_block)
			result = platter_fail(error, EINVAL, "%" PRIu64 " is not a multiple of the disk's block, %" PRIu32, bytes,
					      disk->geometry.min_block);
		else
			result = driver_result(ops->resize(&disk->driver_side, bytes, error), error);
		if (result == 0)
			result = revalidate(disk, &changed, error);
		pthread_mutex_unlock(&disk->calls);
	}
	if (smaller)
		open_unshut(disk);
	return result;
}

unsigned media_check_events(struct disk *disk)
{
	const struct platter_disk_ops *ops = disk->driver->ops;
	struct platter_error error = { "" };
	bool changed = false;
	unsigned events;

	if (!ops->check_events || enter(disk, &error) < 0)
		return 0;
	events = ops->check_events(&disk->driver_side) & (PLATTER_EVENT_RESIZED | PLATTER_EVENT_MEDIA_CHANGE);
	if (events & PLATTER_EVENT_MEDIA_CHANGE)
		disk_log(disk, NOTICE, "the medium has changed");
	if (events & PLATTER_EVENT_MEDIA_CHANGE)
		lose_marks(disk);
	if (events && ops->revalidate && revalidate(disk, &changed, &error) < 0)
		disk_log(disk, WARNING, "%s", error.text);
	pthread_mutex_unlock(&disk->calls);
	return events;
}

static const struct platter_command *find_command(const struct platter_disk_ops *ops, const char *name)
{
	const struct platter_command *command = ops->commands;

	while (command && command->name && strcmp(command->name, name) != 0)
		command++;
	return command && command->name && ops->ioctl ? command : NULL;
}

int media_ioctl(struct disk *disk, const char *name, unsigned argc, const char *const *argv,
		struct platter_reply *reply, struct platter_error *error)
{
	const struct platter_command *command = find_command(disk->driver->ops, name);
	bool changed = false;
	int result;

	*reply = (struct platter_reply){ .text = NULL };
	if (!command)
		return platter_fail(error, ENOTTY, "a disk of the driver %s has no command \"%.64s\"", disk->driver->name, name);
	result = enter(disk, error);
	if (result < 0)
		return result;
	result = driver_result(disk->driver->ops->ioctl(&disk->driver_side, command->name, argc, argv, reply, error), error);
	/* It may have put in another medium. */
	lose_marks(disk);
	if (result == 0 && disk->driver->ops->revalidate)
		(void)revalidate(disk, &changed, &(struct platter_error){ "" });
	pthread_mutex_unlock(&disk->calls);
	if (result == 0 && reply->failed)
		result = platter_fail(error, ENOMEM, "no memory for the answer");
	return result;
}

void platter_reply(struct platter_reply *reply, const char *format, ...)
{
	size_t before = reply->text ? strlen(reply->text) : 0;
	char line[1024];
	char *longer;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	longer = realloc(reply->text, before + strlen(line) + 2);
	if (!longer) {
		reply->failed = true;
		return;
	}
	sprintf(longer + before, "%s\n", line);
	reply->text = longer;
}

void platter_disk_set_events(struct platter_disk *disk, uint32_t milliseconds)
{
	container_of(disk, struct disk, driver_side)->events_ms = milliseconds && milliseconds < 100 ? 100 : milliseconds;
}

unsigned platter_disk_users(struct platter_disk *disk)
{
	return disk_users(container_of(disk, struct disk, driver_side));
}
