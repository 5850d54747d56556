/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/args.h"
#include "server/block/driver.h"
#include "tests/unit/unit.h"

unsigned fake_ended;

static struct fake *of(struct platter_disk *disk)
{
	return platter_disk_data(disk);
}

static void copy(struct fake *fake, struct platter_request *request)
{
	uint8_t *at = fake->memory + request->offset;

	if (request->op == PLATTER_OP_ZEROES)
		memset(at, 0, request->length);
	for (uint32_t i = 0; i < request->iovcnt; i++) {
		if (request->op == PLATTER_OP_READ)
			memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);
		else if (request->op == PLATTER_OP_WRITE)
			memcpy(at, request->iov[i].iov_base, request->iov[i].iov_len);
		at += request->iov[i].iov_len;
	}
}

static void fake_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct fake *fake = of(disk);

	fake->total++;
	if (fake->submit) {
		fake->submit(fake, request);
		return;
	}
	if (fake->at_once) {
		if (fake->result == 0)
			copy(fake, request);
		platter_request_complete(request, fake->result);
		return;
	}
	assert_in_range(fake->count, 0, FAKE_MOST - 1);
	fake->submitted[fake->count++] = request;
}

void fake_complete(struct fake *fake, unsigned index, int result)
{
	struct platter_request *request = fake->submitted[index];

	assert_in_range(index, 0, fake->count - 1);
	fake->count--;
	memmove(&fake->submitted[index], &fake->submitted[index + 1], (fake->count - index) * sizeof(request));
	if (result == 0)
		copy(fake, request);
	platter_request_complete(request, result);
}

static int fake_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	(void)disk;
	(void)geometry;
	return platter_fail(error, ENOSYS, "unit tests open nothing");
}

static int fake_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	(void)disk;
	(void)args;
	(void)read_only;
	(void)error;
	return 0;
}

static const struct platter_key keys[] = { { .name = NULL } };
static const struct platter_disk_ops ops = { .size = sizeof(ops), .open = fake_open, .submit = fake_submit };
static const struct platter_driver driver = {
	.size = sizeof(driver), .name = "fake", .description = "a disk for tests", .keys = keys, .ops = &ops, .probe = fake_probe,
};

static void note_timer(struct block *block, uint64_t ns)
{
	container_of(block, struct fake, block)->timer = ns;
}

struct fake *fake_new(void)
{
	struct fake *fake = test_calloc(1, sizeof(*fake));
	const struct platter_driver *registered;
	struct platter_error error;

	assert_int_equal(platter_register_driver(&driver), 0);
	registered = driver_get("fake");
	assert_int_equal(disk_add(&fake->disk, registered, "fake", NULL, args_new(), false, &error), 0);
	driver_put(registered);
	disk_put(fake->disk); /* the list keeps it */
	assert_int_equal(export_add("fake", NULL, NULL, fake->disk, false, false, NULL), 0);
	platter_disk_set_capacity(&fake->disk->driver_side, sizeof(fake->memory));
	platter_disk_set_data(&fake->disk->driver_side, fake);
	fake->disk->geometry = (struct platter_geometry){
		.bytes = sizeof(fake->memory),
		.min_block = 1,
		.preferred_block = 4096,
		.memory_alignment = 1,
		.max_segments = 1024,
		.capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_CACHE |
				PLATTER_DISK_COHERENT,
	};
	block_init(&fake->block, 0, UINT64_C(1) << 30);
	fake->block.timer = note_timer;
	block_set_self(&fake->block);
	fake_ended = 0;
	return fake;
}

void fake_free(struct fake *fake)
{
	export_remove_all();
	disk_remove_all();
	driver_exit();
	block_destroy(&fake->block);
	test_free(fake);
}

void fake_dispatch(struct fake *fake)
{
	do {
		block_dispatch(&fake->block);
	} while (block_has_work(&fake->block));
}

static void ended(struct request *request)
{
	(void)request;
	fake_ended++;
}

struct request *fake_request(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length)
{
	struct request *request = request_get(&fake->block);

	assert_non_null(request);
	request->done = ended;
	request->owner = fake;
	request->driver.op = (uint16_t)op;
	request->driver.flags = 0;
	request->driver.offset = offset;
	request->driver.length = length;
	request->error = 1;
	return request;
}
