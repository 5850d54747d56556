/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/partitions.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/args.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/export.h"
#include "server/block/partition.h"
#include "server/block/registry.h"
#include "server/block/request.h"

#define MOST_PARTITIONS 256
/* The largest unit of reading that a table can be read in. */
#define MOST_BLOCK 4096

/* One read for the scan, on the disk's home. */
struct reading {
	struct disk *disk;
	uint64_t offset;
	struct iovec memory;
	sem_t done;
	int result;
};

static void reading_done(struct request *request)
{
	struct reading *reading = request->owner;
	uint8_t *to = reading->memory.iov_base;

	reading->result = request->error;
	/* What the driver lends is only ours until the request ends. */
	for (uint32_t i = 0; request->error == 0 && i < request->driver.iovcnt; i++) {
		const struct iovec *from = &request->driver.iov[i];

		if (!from->iov_base)
			memset(to, 0, from->iov_len);
		else if (from->iov_base != to)
			memcpy(to, from->iov_base, from->iov_len);
		to += from->iov_len;
	}
	request_put(request);
	sem_post(&reading->done);
}

static void reading_start(struct block *block, void *argument)
{
	struct reading *reading = argument;
	struct disk *disk = reading->disk;
	struct request *request = request_get(block);

	if (!request || request_reserve_segments(request, 2) < 0) {
		request_put(request);
		reading->result = -ENOMEM;
		sem_post(&reading->done);
		return;
	}
	request->done = reading_done;
	request->owner = reading;
	request->driver.op = PLATTER_OP_READ;
	request->driver.flags = 0;
	request->driver.offset = reading->offset;
	request->driver.length = reading->memory.iov_len;
	if (!(disk->geometry.capabilities & PLATTER_DISK_LENDS)) {
		request->driver.iov[0] = reading->memory;
		request->driver.iovcnt = 1;
	}
	disk_submit(disk, block, request);
}

static int read_blocks(struct disk *disk, uint64_t offset, void *buffer, size_t length)
{
	struct reading reading = { .disk = disk, .offset = offset, .memory = { buffer, length } };

	sem_init(&reading.done, 0, 0);
	disk_on_home(disk, reading_start, &reading);
	while (sem_wait(&reading.done) < 0)
		;
	sem_destroy(&reading.done);
	return reading.result;
}

/* For partition_scan(): a disk that is read in larger pieces only is read around what is asked for. */
static int read_around(void *context, uint64_t offset, void *buffer, size_t length)
{
	struct disk *disk = context;
	uint64_t unit = disk->geometry.min_block;
	uint64_t first = offset / unit * unit;
	uint64_t last = (offset + length + unit - 1) / unit * unit;
	void *larger;
	int result;

	if (first == offset && last == offset + length)
		return read_blocks(disk, offset, buffer, length);
	larger = aligned_alloc(MOST_BLOCK, last - first + MOST_BLOCK);
	if (!larger)
		return -ENOMEM;
	result = read_blocks(disk, first, larger, last - first);
	memcpy(buffer, (const char *)larger + (offset - first), result == 0 ? length : 0);
	free(larger);
	return result;
}

/* In sectors of 512 bytes; a disk of larger ones may count in those. */
static int scan(struct disk *disk, struct partition *found, struct platter_error *error)
{
	struct partition_source source = {
		.name = disk->name, .read = read_around, .context = disk, .bytes = disk_capacity(disk), .sector_size = 512,
	};
	int result;

	if (disk->geometry.min_block > MOST_BLOCK)
		return platter_fail(error, EINVAL, "%s: blocks of %" PRIu32 " bytes are too large for a partition table", disk->name,
				    disk->geometry.min_block);
	result = partition_scan(&source, found, MOST_PARTITIONS, error);
	if (result > 0 || disk->geometry.min_block != MOST_BLOCK)
		return result;
	source.sector_size = MOST_BLOCK;
	return partition_scan(&source, found, MOST_PARTITIONS, error);
}

/* The driver of partitions: all that it does is open the whole disk. */
static int part_open(struct platter_disk *driver_side, struct platter_geometry *geometry, struct platter_error *error)
{
	struct disk *part = container_of(driver_side, struct disk, driver_side);
	int result = disk_open_wait(part->whole, error);

	if (result < 0)
		return result;
	*geometry = part->whole->geometry;
	geometry->bytes = part->length;
	if (geometry->bytes % geometry->min_block || part->start % geometry->min_block) {
		disk_release(part->whole);
		return platter_fail(error, EINVAL, "the partition does not begin and end with blocks of %" PRIu32 " bytes",
				    geometry->min_block);
	}
	return 0;
}

static int part_release(struct platter_disk *driver_side, struct platter_error *error)
{
	struct disk *part = container_of(driver_side, struct disk, driver_side);

	(void)error;
	disk_release(part->whole);
	return 0;
}

/* Its requests are in the whole disk's queue. */
static void part_submit(struct platter_disk *driver_side, struct platter_request *request)
{
	(void)driver_side;
	platter_request_complete(request, -EIO);
}

static int part_probe(struct platter_disk *driver_side, const struct platter_args *args, bool read_only,
		      struct platter_error *error)
{
	(void)driver_side;
	(void)args;
	(void)read_only;
	(void)error;
	return 0;
}

static const struct platter_key part_keys[] = { { .name = NULL } };
static const struct platter_disk_ops part_ops = {
	.size = sizeof(part_ops), .open = part_open, .release = part_release, .submit = part_submit,
};
/* In no list: nobody asks for it by name. */
static struct driver part_driver = {
	.driver = { .size = sizeof(part_driver.driver), .name = "partition", .description = "partition", .keys = part_keys,
		    .ops = &part_ops, .probe = part_probe },
	.users = 1,
};

static int add(struct disk *whole, const struct partition *partition, struct platter_error *error)
{
	struct disk *part = NULL;
	char description[64];
	char *name = NULL;
	int result;

	snprintf(description, sizeof(description), "partition %u of %.32s", partition->number, whole->name);
	if (asprintf(&name, "%sp%u", whole->name, partition->number) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	result = disk_add_partition(&part, whole, &part_driver.driver, name, description, partition->start, partition->length, error);
	if (result == 0)
		result = identity_settle_partition(part, partition->number, error);
	if (result == 0 && !whole->unlisted)
		result = export_add(name, NULL, NULL, part, whole->read_only, whole->tls, whole->access);
	if (result < 0)
		log_warning("%s: not added: %s", name, error->text[0] ? error->text : strerror(-result));
	if (result < 0 && part)
		disk_force_remove(part);
	disk_put(part);
	free(name);
	return result;
}

int partitions_add(struct disk *disk, struct platter_error *error)
{
	struct partition *found = calloc(MOST_PARTITIONS, sizeof(*found));
	struct platter_error one = { "" };
	int count, added = 0;
	int result;

	disk->partitions = PARTITIONS_READ;
	if (!found)
		return platter_fail(error, ENOMEM, "no memory");
	result = disk_open_wait(disk, error);
	if (result < 0) {
		free(found);
		return result;
	}
	count = scan(disk, found, error);
	for (int i = 0; i < count; i++)
		added += add(disk, &found[i], &one) == 0;
	disk_release(disk);
	free(found);
	if (count >= 0)
		log_notice("%s: %d partition%s", disk->name, added, added == 1 ? "" : "s");
	return count < 0 ? count : added;
}

void partitions_remove(struct disk *disk)
{
	struct disk *part;

	while ((part = disk_partition(disk))) {
		disk_force_remove(part);
		disk_put(part);
	}
}
