/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk for tests of durability: RAM with a volatile write cache over a durable
 * store.  It delays, reorders, tears, shortens and fails requests as a disk may,
 * and its power can be cut.  What it does depends on its seed and on the
 * requests; with delays also on when these arrive.
 *
 * It is as unreliable as is allowed, and no more: a FLUSH makes durable what was
 * changed before it was submitted, and none of what came meanwhile, at the end of its delay.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <platter/module.h>

#include "plugins/volatile/cache.h"
#include "plugins/volatile/mix.h"
#include "plugins/volatile/plan.h"
#include "plugins/volatile/sectors.h"
#include "plugins/volatile/store.h"

/* Bytes that are done inside one submit. */
#define MOST_AT_ONCE (UINT64_C(4) << 20)

static unsigned int delay_us = 0;
PLATTER_PARAM(delay_us, uint, 0644, "microseconds that a request takes at most; it takes any time up to that");
static unsigned int pieces = 1;
PLATTER_PARAM(pieces, uint, 0644, "steps in which a request that takes time is done, at most");
static unsigned int fail_per_million = 0;
PLATTER_PARAM(fail_per_million, uint, 0644, "how many of a million requests fail, and do nothing");
static unsigned int short_per_million = 0;
PLATTER_PARAM(short_per_million, uint, 0644, "how many of a million requests fail when a first part is done");
static int code = EIO;
PLATTER_PARAM(code, int, 0644, "the errno that they fail with");
static const char *ops = "rwftz";
PLATTER_PARAM(ops, charp, 0644, "these fail: read, write, flush, trim, zeroes, by their first letters");
static const char *lie = "";
PLATTER_PARAM(lie, charp, 0644, "flush, fua: says that it was done, and makes nothing durable");

struct volatile_disk {
	int store;
	/* All that follows: submit and timers run on the home reactor, everything else on threads that administer. */
	pthread_mutex_t lock;
	struct cache cache;
	uint64_t seed;
	uint64_t requests;
	uint64_t failed;
	uint64_t overlaps;       /* changes that came while another one of the same sectors was being done */
	uint64_t cuts;
	bool off;
	struct flight *changes;  /* that are being done */
};

/* In the request's data. */
struct flight {
	struct platter_timer timer; /* first */
	struct platter_request *request;
	struct flight *next;        /* in disk->changes */
	struct plan plan;
	uint32_t step;
	uint64_t cuts;              /* disk->cuts when it came */
	uint64_t mark;              /* FLUSH: covers what was changed before */
};

_Static_assert(sizeof(struct flight) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

static struct flight *flight_of(struct platter_request *request)
{
	return (struct flight *)(void *)request->data;
}

static void volatile_free(struct volatile_disk *disk)
{
	if (!disk)
		return;
	cache_destroy(&disk->cache);
	if (disk->store >= 0)
		close(disk->store);
	pthread_mutex_destroy(&disk->lock);
	free(disk);
}

static int volatile_probe(struct platter_disk *platter, const struct platter_args *args, bool read_only,
			  struct platter_error *error)
{
	struct volatile_disk *disk = calloc(1, sizeof(*disk));
	uint64_t most = platter_args_size(args, "cache", UINT64_C(16) << 20) / STORE_SECTOR;
	uint64_t bytes = platter_args_size(args, "size", 0);
	int result = 0;

	(void)read_only;
	if (!disk)
		return platter_fail(error, ENOMEM, "no memory");
	pthread_mutex_init(&disk->lock, NULL);
	disk->seed = platter_args_number(args, "seed", 0);
	disk->store = store_open(platter_disk_name(platter), platter_args_string(args, "store", NULL), &bytes, error);
	if (disk->store < 0)
		result = disk->store;
	else if (most == 0 || most > UINT32_MAX)
		result = platter_fail(error, EINVAL, "the cache must have from 512 bytes to 2047G");
	else if (cache_init(&disk->cache, disk->store, bytes / STORE_SECTOR, most, disk->seed) < 0)
		result = platter_fail(error, ENOMEM, "no address space for a disk of %" PRIu64 " bytes", bytes);
	else if (platter_disk_set_identity(platter, platter_args_string(args, "store", NULL)) < 0)
		result = platter_fail(error, ENOMEM, "no memory");
	if (result < 0) {
		volatile_free(disk);
		return result;
	}
	platter_disk_set_data(platter, disk);
	platter_disk_set_capacity(platter, bytes);
	return 0;
}

static void volatile_remove(struct platter_disk *platter)
{
	volatile_free(platter_disk_data(platter));
}

static int volatile_open(struct platter_disk *platter, struct platter_geometry *geometry, struct platter_error *error)
{
	struct volatile_disk *disk = platter_disk_data(platter);
	bool off;

	pthread_mutex_lock(&disk->lock);
	off = disk->off;
	pthread_mutex_unlock(&disk->lock);
	if (off)
		return platter_fail(error, ENXIO, "its power is off: platterctl ioctl %s power", platter_disk_name(platter));
	geometry->bytes = disk->cache.sectors * STORE_SECTOR;
	geometry->capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_COHERENT;
	geometry->min_block = STORE_SECTOR;
	geometry->max_request = MOST_AT_ONCE;
	geometry->max_zeroes = MOST_AT_ONCE;
	geometry->max_trim = MOST_AT_ONCE;
	return 0;
}

/* Nobody uses it any more: like every other disk it leaves nothing that isn't durable. */
static int volatile_release(struct platter_disk *platter, struct platter_error *error)
{
	struct volatile_disk *disk = platter_disk_data(platter);
	int result;

	pthread_mutex_lock(&disk->lock);
	result = cache_flush(&disk->cache, cache_mark(&disk->cache), 100);
	pthread_mutex_unlock(&disk->lock);
	return result < 0 ? platter_fail(error, -result, "its store: %s", strerror(-result)) : 0;
}

/* The next step of the request. */
static int do_step(struct volatile_disk *disk, struct flight *flight)
{
	uint64_t first, count;

	if (flight->request->op == PLATTER_OP_FLUSH)
		return strstr(lie, "flush") ? 0 : cache_flush(&disk->cache, flight->mark, flight->plan.percent);
	count = plan_step(&flight->plan, flight->step, &first);
	return sectors_do(&disk->cache, flight->request, first, count, !strstr(lie, "fua"));
}

/* Does a step, or all when they take no time.  Whether the request has ended, with *RESULT. */
static bool advance(struct volatile_disk *disk, struct flight *flight, int *result)
{
	/* The power has been cut since it came. */
	*result = flight->cuts == disk->cuts ? 0 : -EIO;
	while (*result == 0 && flight->step < flight->plan.pieces) {
		*result = do_step(disk, flight);
		flight->step++;
		if (flight->plan.wait_ns)
			break;
	}
	if (*result == 0 && flight->step < flight->plan.pieces)
		return false;
	if (*result == 0 && flight->plan.fails)
		*result = code > 0 ? -code : code < 0 ? code : -EIO;
	return true;
}

static bool is_change(const struct platter_request *request)
{
	return request->op == PLATTER_OP_WRITE || request->op == PLATTER_OP_TRIM || request->op == PLATTER_OP_ZEROES;
}

/* The host puts changes of the same data in order, so that it never has two of them done at a time. */
static void change_begin(struct volatile_disk *disk, struct flight *flight)
{
	const struct platter_request *request = flight->request;

	for (const struct flight *other = disk->changes; other; other = other->next) {
		if (request->offset >= other->request->offset + other->request->length ||
		    other->request->offset >= request->offset + request->length)
			continue;
		disk->overlaps++;
		platter_log(PLATTER_LOG_ERROR, "%s: a change of %" PRIu64 " bytes at %" PRIu64 " came while another one of the "
			    "same data was being done: that is a bug of the server", platter_disk_name(request->disk),
			    request->length, request->offset);
	}
	flight->next = disk->changes;
	disk->changes = flight;
}

static void change_end(struct volatile_disk *disk, const struct flight *flight)
{
	struct flight **link = &disk->changes;

	while (*link != flight)
		link = &(*link)->next;
	*link = flight->next;
}

/* Goes on with a request, and completes it if that was all. */
static void proceed(struct platter_request *request)
{
	struct volatile_disk *disk = platter_disk_data(request->disk);
	struct flight *flight = flight_of(request);
	bool ended;
	int result;

	pthread_mutex_lock(&disk->lock);
	ended = advance(disk, flight, &result);
	if (ended && is_change(request))
		change_end(disk, flight);
	if (ended && result < 0)
		disk->failed++;
	pthread_mutex_unlock(&disk->lock);
	if (ended)
		platter_request_complete(request, result);
	else
		platter_timer_start(request->disk, &flight->timer, flight->plan.wait_ns);
}

static void rang(struct platter_timer *timer)
{
	proceed(((struct flight *)(void *)timer)->request);
}

static void make_plan(struct volatile_disk *disk, struct flight *flight)
{
	static const char letters[] = "rwftz";
	const struct platter_request *request = flight->request;
	bool chosen = request->op < sizeof(letters) - 1 && strchr(ops, letters[request->op]);
	struct plan_rules rules = {
		.delay_us = delay_us,
		.pieces = pieces,
		.fail_per_million = chosen ? fail_per_million : 0,
		.short_per_million = chosen ? short_per_million : 0,
	};

	plan_make(&flight->plan, &rules, disk->seed, disk->requests++, request->length / STORE_SECTOR);
}

static void volatile_submit(struct platter_disk *platter, struct platter_request *request)
{
	struct volatile_disk *disk = platter_disk_data(platter);
	struct flight *flight = flight_of(request);
	bool off;

	*flight = (struct flight){ .request = request, .timer.done = rang };
	pthread_mutex_lock(&disk->lock);
	off = disk->off;
	if (!off) {
		make_plan(disk, flight);
		flight->cuts = disk->cuts;
		flight->mark = cache_mark(&disk->cache);
		if (is_change(request))
			change_begin(disk, flight);
	}
	pthread_mutex_unlock(&disk->lock);
	if (off)
		platter_request_complete(request, -EIO);
	else if (flight->plan.wait_ns)
		platter_timer_start(request->disk, &flight->timer, flight->plan.wait_ns);
	else
		proceed(request);
}

/* "cut", "cut 30" */
static int cut(struct volatile_disk *disk, unsigned argc, const char *const *argv, struct platter_reply *reply,
	       struct platter_error *error)
{
	unsigned long percent = mix_of(disk->seed, disk->cuts) % 101;
	uint64_t unflushed = disk->cache.dirty_count;
	char *end = NULL;

	if (argc > 1)
		return platter_fail(error, EINVAL, "cut: %s: not expected", argv[1]);
	if (argc == 1)
		percent = strtoul(argv[0], &end, 10);
	if ((argc == 1 && (!*argv[0] || *end)) || percent > 100)
		return platter_fail(error, EINVAL, "cut: %s: a number from 0 to 100 is expected", argv[0]);
	if (disk->off)
		return platter_fail(error, EALREADY, "the power is off already");
	disk->off = true;
	platter_reply(reply, "%" PRIu64 " of %" PRIu64 " unflushed sectors were kept",
		      cache_cut(&disk->cache, disk->cuts++, (unsigned)percent), unflushed);
	return 0;
}

static int power(struct volatile_disk *disk, struct platter_error *error)
{
	if (!disk->off)
		return platter_fail(error, EALREADY, "the power is on already");
	disk->off = false;
	return 0;
}

static void stats(const struct volatile_disk *disk, struct platter_reply *reply)
{
	platter_reply(reply, "power %s", disk->off ? "off" : "on");
	platter_reply(reply, "requests %" PRIu64, disk->requests);
	platter_reply(reply, "failed %" PRIu64, disk->failed);
	platter_reply(reply, "overlaps %" PRIu64, disk->overlaps);
	platter_reply(reply, "cuts %" PRIu64, disk->cuts);
	platter_reply(reply, "unflushed %" PRIu32, disk->cache.dirty_count);
	platter_reply(reply, "versions %" PRIu64, disk->cache.versions);
	platter_reply(reply, "written_back %" PRIu64, disk->cache.written_back);
}

static int volatile_ioctl(struct platter_disk *platter, const char *command, unsigned argc, const char *const *argv,
			  struct platter_reply *reply, struct platter_error *error)
{
	struct volatile_disk *disk = platter_disk_data(platter);
	int result = 0;

	pthread_mutex_lock(&disk->lock);
	if (strcmp(command, "cut") == 0)
		result = cut(disk, argc, argv, reply, error);
	else if (argc)
		result = platter_fail(error, EINVAL, "%s: %s: not expected", command, argv[0]);
	else if (strcmp(command, "power") == 0)
		result = power(disk, error);
	else
		stats(disk, reply);
	pthread_mutex_unlock(&disk->lock);
	return result;
}

static const struct platter_command volatile_commands[] = {
	{ "cut", "[PERCENT]", "cut the power: of PERCENT of the unflushed sectors, or any, one version is kept" },
	{ "power", "", "switch the power on again" },
	{ "stats", "", "what it has done, and what isn't durable" },
	{ .name = NULL },
};

static const struct platter_key volatile_keys[] = {
	{ "size", PLATTER_KEY_SIZE, "of the disk" },
	{ "seed", PLATTER_KEY_NUMBER, "of all that is random (0)" },
	{ "cache", PLATTER_KEY_SIZE, "what it holds before it writes back by itself (16M)" },
	{ "store", PLATTER_KEY_STRING, "a file for what is durable, instead of memory" },
	{ .name = NULL },
};

static const struct platter_disk_ops volatile_ops = {
	.size = sizeof(volatile_ops),
	.open = volatile_open,
	.release = volatile_release,
	.submit = volatile_submit,
	.ioctl = volatile_ioctl,
	.commands = volatile_commands,
};

static const struct platter_driver volatile_driver = {
	.size = sizeof(volatile_driver),
	.name = "volatile",
	.description = "a disk with a volatile cache, whose power can be cut",
	.keys = volatile_keys,
	.ops = &volatile_ops,
	.probe = volatile_probe,
	.remove = volatile_remove,
};

static int volatile_init(void)
{
	return platter_register_driver(&volatile_driver);
}

static void volatile_exit(void)
{
	platter_unregister_driver(&volatile_driver);
}

PLATTER_MODULE("volatile", "1.0", "BSD-2-Clause", "The Platter developers", "a disk with a volatile cache, for tests");
PLATTER_INIT(volatile_init);
PLATTER_EXIT(volatile_exit);
PLATTER_ALIAS("driver:volatile");
