/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The null driver: reads give zeroes, writes go nowhere.  For measuring the
 * server without a disk and, with its delays, for playing a slow one.
 */
#include "plugins/builtin.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <platter/driver.h>
#include <platter/host.h>

#define MOST_DELAY_US UINT64_C(3600000000)

struct null_disk {
	uint64_t size;
	uint64_t delay_us;
	uint64_t open_delay_ms;
};

struct null_request {
	struct platter_timer timer; /* first */
	struct platter_request *request;
};

_Static_assert(sizeof(struct null_request) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

static int check(const struct null_disk *null, struct platter_error *error)
{
	if (null->size == 0)
		return platter_fail(error, EINVAL, "size=0: a disk needs at least one byte");
	if (null->delay_us > MOST_DELAY_US || null->open_delay_ms > MOST_DELAY_US / 1000)
		return platter_fail(error, EINVAL, "a delay of more than an hour");
	return 0;
}

static int null_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	struct null_disk *null = calloc(1, sizeof(*null));
	int result;

	(void)read_only;
	if (!null)
		return platter_fail(error, ENOMEM, "no memory");
	null->size = platter_args_size(args, "size", UINT64_C(1) << 30);
	null->delay_us = platter_args_number(args, "delay", 0);
	null->open_delay_ms = platter_args_number(args, "open-delay", 0);
	result = check(null, error);
	if (result < 0) {
		free(null);
		return result;
	}
	platter_disk_set_data(disk, null);
	platter_disk_set_capacity(disk, null->size);
	return 0;
}

static void null_remove(struct platter_disk *disk)
{
	free(platter_disk_data(disk));
}

static int null_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	const struct null_disk *null = platter_disk_data(disk);
	struct timespec delay = { (time_t)(null->open_delay_ms / 1000), (long)(null->open_delay_ms % 1000) * 1000000 };

	(void)error;
	while (nanosleep(&delay, &delay) < 0)
		;
	geometry->bytes = null->size;
	geometry->capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_CACHE |
				 PLATTER_DISK_COHERENT | PLATTER_DISK_LENDS | PLATTER_DISK_ANY_THREAD | PLATTER_DISK_EXTENTS;
	return 0;
}

static void null_delayed(struct platter_timer *timer)
{
	struct null_request *state = (struct null_request *)timer;

	platter_request_complete(state->request, 0);
}

static void null_submit(struct platter_disk *disk, struct platter_request *request)
{
	const struct null_disk *null = platter_disk_data(disk);
	struct null_request *state = (struct null_request *)(void *)request->data;
	int result = request->op == PLATTER_OP_READ ? platter_request_lend(request, NULL, request->length) : 0;

	if (request->op == PLATTER_OP_EXTENTS)
		platter_request_extent(request, request->length, PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO);
	if (result < 0 || null->delay_us == 0) {
		platter_request_complete(request, result);
		return;
	}
	state->request = request;
	state->timer.done = null_delayed;
	platter_timer_start(disk, &state->timer, null->delay_us * 1000);
}

static const struct platter_key null_keys[] = {
	{ "size", PLATTER_KEY_SIZE, "of the disk (1G)" },
	{ "delay", PLATTER_KEY_NUMBER, "microseconds that each request takes (0)" },
	{ "open-delay", PLATTER_KEY_NUMBER, "milliseconds that opening takes (0)" },
	{ .name = NULL },
};

static const struct platter_disk_ops null_ops = {
	.size = sizeof(null_ops),
	.open = null_open,
	.submit = null_submit,
};

const struct platter_driver null_driver = {
	.size = sizeof(null_driver),
	.name = "null",
	.description = "null disk: zeroes, and nothing is kept",
	.keys = null_keys,
	.ops = &null_ops,
	.probe = null_probe,
	.remove = null_remove,
};

#ifdef PLATTER_AS_MODULE
#include <platter/module.h>

static int null_init(void)
{
	return platter_register_driver(&null_driver);
}

static void null_exit(void)
{
	platter_unregister_driver(&null_driver);
}

PLATTER_MODULE("null", "1.0", "BSD-2-Clause", "The Platter developers", "a disk that reads as zeroes and keeps nothing");
PLATTER_INIT(null_init);
PLATTER_EXIT(null_exit);
PLATTER_ALIAS("driver:null");
#endif
