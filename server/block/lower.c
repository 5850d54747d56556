/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/lower.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/extents.h"
#include "server/block/registry.h"
#include "server/block/request.h"
#include "server/block/usage.h"

static struct disk *disk_of(const struct platter_disk *driver_side)
{
	return container_of((struct platter_disk *)(uintptr_t)driver_side, struct disk, driver_side);
}

/* With the registry's lock held: whether UPPER is DISK or stands, by however many others, below it. */
static bool stands_on(const struct disk *upper, const struct disk *disk)
{
	while (upper && upper != disk)
		upper = upper->claimed_by;
	return upper == disk;
}

/* Nobody else opens LOWER from now on, and nobody has: it can move to UPPER's reactor. */
static int claim(struct disk *lower, struct disk *upper, struct platter_error *error)
{
	int result = 0;

	registry_lock();
	if (stands_on(upper, lower))
		result = platter_fail(error, ELOOP, "%s stands on %s itself", lower->name, upper->name);
	else if (lower->claimed_by)
		result = platter_fail(error, EBUSY, "%s is used by %s", lower->name, lower->claimed_by->name);
	else if (lower->whole || disk_partition_is_used(lower))
		result = platter_fail(error, EBUSY, "%s %s", lower->name, lower->whole ? "is a partition: stack on its whole disk" :
										 "has partitions in use");
	else if (!open_claim(lower))
		result = usage_fail_locked(lower, disk_users(lower), error);
	if (result == 0) {
		lower->claimed_by = upper;
		lower->home = upper->home;
	}
	registry_unlock();
	return result;
}

static void unclaim(struct disk *lower)
{
	registry_lock();
	lower->claimed_by = NULL;
	open_unclaim(lower);
	registry_unlock();
}

int platter_lower_open(struct platter_disk *driver_side, const char *name, struct platter_lower **ret,
		       struct platter_error *error)
{
	struct platter_lower *lower = calloc(1, sizeof(*lower));
	int result;

	*ret = NULL;
	if (!lower)
		return platter_fail(error, ENOMEM, "no memory");
	lower->upper = disk_of(driver_side);
	lower->disk = disk_find(name);
	if (!lower->disk) {
		free(lower);
		return platter_fail(error, ENOENT, "there is no disk named \"%.64s\" to stand on", name);
	}
	result = claim(lower->disk, lower->upper, error);
	if (result == 0) {
		result = disk_open_claimed(lower->disk, error);
		if (result < 0)
			unclaim(lower->disk);
	}
	if (result < 0) {
		disk_put(lower->disk);
		free(lower);
		return result;
	}
	/* As long as nobody stood on it others could change it. */
	marks_lose(&lower->upper->marks);
	/* What only one reactor may call ties the disk on top to it. */
	if (!disk_any_thread(lower->disk))
		lower->upper->tied = true;
	*ret = lower;
	return 0;
}

void platter_lower_close(struct platter_lower *lower)
{
	if (!lower)
		return;
	disk_release(lower->disk);
	unclaim(lower->disk);
	disk_put(lower->disk);
	free(lower);
}

const struct platter_geometry *platter_lower_geometry(const struct platter_lower *lower)
{
	return &lower->disk->geometry;
}

uint64_t platter_lower_bytes(const struct platter_lower *lower)
{
	return disk_capacity(lower->disk);
}

/* Copies what was lent to where the caller wants it. */
static void copy_lent(const struct request *request, struct platter_lower_io *io)
{
	uint32_t to = 0;
	size_t inside = 0;

	for (uint32_t i = 0; i < request->driver.iovcnt; i++) {
		const struct iovec *from = &request->driver.iov[i];

		for (size_t at = 0; at < from->iov_len && to < io->iovcnt;) {
			size_t bytes = io->iov[to].iov_len - inside;

			if (bytes > from->iov_len - at)
				bytes = from->iov_len - at;
			if (from->iov_base)
				memcpy((char *)io->iov[to].iov_base + inside, (const char *)from->iov_base + at, bytes);
			else
				memset((char *)io->iov[to].iov_base + inside, 0, bytes);
			at += bytes;
			inside += bytes;
			if (inside == io->iov[to].iov_len) {
				to++;
				inside = 0;
			}
		}
	}
}

/* REQUEST, of the disk on top, is told what the lower disk told. */
static void tell(const struct extents *extents, struct platter_request *request)
{
	for (unsigned i = 0; i < extents->count; i++)
		if (platter_request_extent(request, extents->list[i].length, (uint32_t)extents->list[i].kind))
			return;
}

static void io_done(struct request *request)
{
	struct platter_lower_io *io = request->owner;
	const struct disk *disk = io->host[0];
	bool lent = request->driver.op == PLATTER_OP_READ && (disk->geometry.capabilities & PLATTER_DISK_LENDS);
	int error = request->error;
	/* IO isn't ours any more after `done`. */
	struct disk_io *upper = io->host[1];

	if (request->driver.op == PLATTER_OP_EXTENTS && error == 0)
		tell(request->extents, io->request);
	if (lent && error == 0 && io->iovcnt) {
		copy_lent(request, io);
	} else if (lent && error == 0) {
		io->iov = request->driver.iov;
		io->iovcnt = request->driver.iovcnt;
	}
	io->done(io, error);
	upper->operations--;
	request_put(request);
}

static int prepare_extents(const struct platter_lower *lower, struct request *request, const struct platter_lower_io *io)
{
	const struct extents *upper;

	if (!io->request || io->request->op != PLATTER_OP_EXTENTS)
		return -EINVAL;
	upper = request_of(io->request)->extents;
	request->extents = extents_new(io->length, lower->disk->geometry.min_block, upper->most);
	if (!request->extents)
		return -ENOMEM;
	/* Of a part of the range, all is wanted: it may be what comes before the end. */
	if (io->length == io->request->length)
		request->extents->ahead = upper->ahead;
	return 0;
}

void platter_lower_submit(struct platter_lower *lower, struct platter_lower_io *io)
{
	struct disk *disk = lower->disk;
	struct block *block = block_self();
	bool lends = io->op == PLATTER_OP_READ && (disk->geometry.capabilities & PLATTER_DISK_LENDS);
	struct request *request = block ? request_get(block) : NULL;
	int result = !block ? -EINVAL : request ? 0 : -ENOMEM;

	if (lends && result == 0)
		result = request_reserve_segments(request, (unsigned)(io->length / BUFFER_SEGMENT_SIZE + 2));
	else if (result == 0)
		result = request_reserve_segments(request, io->iovcnt);
	if (result == 0 && io->op == PLATTER_OP_EXTENTS)
		result = prepare_extents(lower, request, io);
	if (result < 0) {
		request_put(request);
		io->done(io, result);
		return;
	}
	io->host[0] = disk;
	io->host[1] = &lower->upper->io[block->index];
	lower->upper->io[block->index].operations++;
	request->done = io_done;
	request->owner = io;
	request->driver.op = io->op;
	request->driver.flags = io->flags;
	request->driver.offset = io->offset;
	request->driver.length = io->length;
	if (!lends && io->iovcnt) {
		memcpy(request->driver.iov, io->iov, io->iovcnt * sizeof(*io->iov));
		request->driver.iovcnt = io->iovcnt;
	}
	disk_submit(disk, block, request);
}
