/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/backing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "server/block/args.h"
#include "server/block/driver.h"
#include "server/block/geometry.h"
#include "server/block/media.h"
#include "tests/fuzz/fuzz.h"

/* In units of which it knows what is zero: smaller than most blocks, so that these are told of in pieces. */
#define GRANULE 64u

/* The driver's own part of a request. */
struct note {
	bool applied;
};

static struct note *note_of(struct platter_request *request)
{
	return (struct note *)(void *)request->data;
}

static int result_of(const struct platter_request *request, uint8_t fate)
{
	static const int results[] = { 0, 0, 0, 0, -EIO, -ENOSPC, -ENOMEM, -EINVAL };
	int result = results[FATE_RESULT(fate)];

	return result == -EINVAL && (request->flags & PLATTER_REQ_FAST_ZERO) ? -ENOTSUP : result;
}

/* The first LENGTH bytes of what REQUEST wants. */
static void apply(struct backing *backing, struct platter_request *request, uint64_t length)
{
	uint8_t *at = backing->memory + request->offset;

	if (request->op == PLATTER_OP_ZEROES || request->op == PLATTER_OP_TRIM)
		memset(at, 0, length);
	for (uint32_t i = 0; i < request->iovcnt && length; i++) {
		size_t bytes = request->iov[i].iov_len < length ? request->iov[i].iov_len : length;

		if (request->op == PLATTER_OP_READ)
			memcpy(request->iov[i].iov_base, at, bytes);
		else if (request->op == PLATTER_OP_WRITE)
			memcpy(at, request->iov[i].iov_base, bytes);
		at += bytes;
		length -= bytes;
	}
}

/* How much of a kind there is from AT on, up to END; whether that is *ZERO. */
static uint64_t run_at(const struct backing *backing, uint64_t at, uint64_t end, bool *zero)
{
	uint64_t begin = at;

	while (at < end) {
		uint64_t bytes = GRANULE - at % GRANULE < end - at ? GRANULE - at % GRANULE : end - at;
		bool is_zero = true;

		for (uint64_t i = 0; i < bytes && is_zero; i++)
			is_zero = backing->memory[at + i] == 0;
		if (at != begin && is_zero != *zero)
			break;
		*zero = is_zero;
		at += bytes;
	}
	return at - begin;
}

uint32_t backing_page_kind(uint64_t at)
{
	return at / BACKING_PAGE % 3 ? (uint32_t)(at / BACKING_PAGE & 1) : UINT32_MAX;
}

/* What is asked for with the driver's own context, a page each. */
static uint64_t tell_pages(struct platter_request *request, unsigned pieces)
{
	uint64_t at = request->offset, end = at + request->length;

	for (unsigned i = 0; at < end && (pieces == 0 || i < pieces); i++) {
		uint64_t length = BACKING_PAGE - at % BACKING_PAGE;

		platter_request_extent(request, length, backing_page_kind(at));
		at += length;
	}
	return at - request->offset;
}

static void give(const struct backing *backing, struct platter_request *request, uint64_t at, uint64_t length, bool zero)
{
	if (request->op == PLATTER_OP_EXTENTS)
		platter_request_extent(request, length, zero ? PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO : 0);
	else
		(void)platter_request_lend(request, zero ? NULL : backing->memory + at, length);
}

/* Tells the extents of a range or lends its memory; of which PIECES are enough, or all for 0.  How many bytes. */
static uint64_t give_pieces(const struct backing *backing, struct platter_request *request, unsigned pieces)
{
	uint64_t at = request->offset, end = at + request->length;
	bool zero = false;

	if (request->op == PLATTER_OP_EXTENTS && request->context)
		return tell_pages(request, pieces);
	for (unsigned i = 0; at < end && (pieces == 0 || i < pieces); i++) {
		uint64_t length = run_at(backing, at, end, &zero);

		give(backing, request, at, length, zero);
		at += length;
	}
	return at - request->offset;
}

static bool gives(const struct backing *backing, const struct platter_request *request)
{
	return request->op == PLATTER_OP_EXTENTS ||
	       (request->op == PLATTER_OP_READ && (backing->disk->geometry.capabilities & PLATTER_DISK_LENDS));
}

/* Too little was lent, or told to make a block of: a driver's mistake, which the host has to notice. */
static bool is_short(const struct backing *backing, const struct platter_request *request, uint64_t given)
{
	return given < (request->op == PLATTER_OP_READ ? request->length : backing->disk->geometry.min_block);
}

/* Does the work: how many of its first bytes are as they should be. */
static uint64_t work(struct backing *backing, struct platter_request *request, uint8_t fate, bool fails)
{
	uint64_t length = fails ? request->length / 8 * FATE_AMOUNT(fate) : request->length;

	if (gives(backing, request))
		return fails && FATE_AMOUNT(fate) == 0 ? 0 : give_pieces(backing, request, FATE_AMOUNT(fate));
	/* TRIM may do nothing. */
	if (!note_of(request)->applied && !(request->op == PLATTER_OP_TRIM && (FATE_AMOUNT(fate) & 1)))
		apply(backing, request, length);
	return length;
}

/* What happens to the request, which then ends with the result. */
static int perform(struct backing *backing, struct platter_request *request, uint8_t fate)
{
	int result = result_of(request, fate);
	uint64_t done = work(backing, request, fate, result);

	/* Sometimes it says more than it has lent. */
	if (result)
		platter_request_progress(request, gives(backing, request) && FATE_AMOUNT(fate) == 7 ? done + GRANULE : done);
	if (result || (gives(backing, request) && is_short(backing, request, done)))
		backing->failing(backing, request);
	return result;
}

static void backing_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct backing *backing = platter_disk_data(disk);
	uint8_t fate = backing->plan[backing->submitted++ % BACKING_PLAN];

	fuzz_check(request->op == PLATTER_OP_FLUSH ||
			   (request->length && range_within(request->offset, request->length, backing->bytes)),
		   "the driver got op %u beyond the disk's end", request->op);
	note_of(request)->applied = false;
	if (fate & FATE_AT_ONCE) {
		platter_request_complete(request, perform(backing, request, fate));
		return;
	}
	if ((fate & FATE_EARLY) && !gives(backing, request)) {
		apply(backing, request, request->length);
		note_of(request)->applied = true;
	}
	fuzz_check(backing->count < BACKING_MOST, "the driver got more requests than its depth");
	backing->pending[backing->count++] = request;
}

void backing_complete(struct backing *backing, unsigned index, uint8_t fate)
{
	struct platter_request *request = backing->pending[index];

	backing->count--;
	memmove(&backing->pending[index], &backing->pending[index + 1], (backing->count - index) * sizeof(request));
	platter_request_complete(request, perform(backing, request, fate));
}

static int backing_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	(void)disk;
	(void)geometry;
	return platter_fail(error, ENOSYS, "the targets open nothing");
}

static int backing_resize(struct platter_disk *disk, uint64_t bytes, struct platter_error *error)
{
	struct backing *backing = platter_disk_data(disk);

	(void)error;
	backing->bytes = bytes;
	return 0;
}

static int backing_revalidate(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error)
{
	const struct backing *backing = platter_disk_data(disk);

	(void)error;
	*bytes = backing->bytes;
	return 0;
}

static unsigned backing_check_events(struct platter_disk *disk)
{
	struct backing *backing = platter_disk_data(disk);
	unsigned events = backing->events;

	backing->events = 0;
	return events;
}

static int backing_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	(void)disk;
	(void)args;
	(void)read_only;
	(void)error;
	return 0;
}

static const struct platter_key keys[] = { { .name = NULL } };
static const char *const contexts_of[] = { BACKING_CONTEXT, NULL };
static struct platter_disk_ops ops = {
	.size = sizeof(ops), .open = backing_open, .submit = backing_submit, .resize = backing_resize, .revalidate = backing_revalidate,
	.check_events = backing_check_events,
};
static const struct platter_driver driver = {
	.size = sizeof(driver), .name = "backing", .description = "memory", .keys = keys, .ops = &ops, .probe = backing_probe,
};

static void note_timer(struct block *block, uint64_t ns)
{
	container_of(block, struct backing, block)->timer = ns;
}

/* The input has it collected. */
static void no_wake(struct block *block)
{
	(void)block;
}

/* As if the driver's `open` had said so. */
static void open_disk(struct disk *disk, struct platter_geometry geometry)
{
	struct platter_error error = { "" };

	fuzz_check(geometry_check(&geometry, &error) == 0, "the target's own geometry: %s", error.text);
	disk->geometry = geometry;
	disk->read_only = geometry.capabilities & PLATTER_DISK_READ_ONLY;
	limits_opened(&disk->limits, &geometry);
	platter_disk_set_capacity(&disk->driver_side, geometry.bytes);
}

struct backing *backing_new(const struct platter_geometry *geometry, bool contexts)
{
	struct backing *backing = fuzz_alloc(sizeof(*backing));
	const struct platter_driver *registered;
	struct platter_error error = { "" };

	backing->bytes = geometry->bytes;
	ops.contexts = contexts ? contexts_of : NULL;
	fuzz_check(platter_register_driver(&driver) == 0, "the driver cannot be registered");
	registered = driver_get("backing");
	fuzz_check(disk_add(&backing->disk, registered, "disk", NULL, args_new(), false, &error) == 0, "%s", error.text);
	driver_put(registered);
	disk_put(backing->disk); /* the list keeps it */
	fuzz_check(export_add("disk", NULL, NULL, backing->disk, false, false, NULL) == 0, "the disk cannot be exported");
	platter_disk_set_data(&backing->disk->driver_side, backing);
	open_disk(backing->disk, *geometry);
	block_init(&backing->block, 0, UINT64_MAX);
	backing->block.timer = note_timer;
	backing->block.wake = no_wake;
	block_set_self(&backing->block);
	backing_pass_time(backing, 1);
	return backing;
}

void backing_free(struct backing *backing)
{
	export_remove_all();
	disk_remove_all();
	driver_exit();
	block_destroy(&backing->block);
	block_set_self(NULL);
	free(backing);
	fuzz_now = 0;
}

bool backing_grow(struct backing *backing, uint64_t bytes)
{
	struct platter_error error;

	return bytes <= BACKING_LARGEST && media_resize(backing->disk, bytes, &error) == 0;
}

void backing_change_medium(struct backing *backing)
{
	backing->events = PLATTER_EVENT_MEDIA_CHANGE;
	fuzz_check(media_check_events(backing->disk) == PLATTER_EVENT_MEDIA_CHANGE, "the change of the medium goes unnoticed");
}

void backing_pass_time(struct backing *backing, uint64_t ns)
{
	fuzz_now += ns;
	backing->block.now = fuzz_now;
	if (backing->timer <= fuzz_now)
		block_unplug(&backing->block);
}
