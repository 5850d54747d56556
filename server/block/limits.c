/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/elevator.h"
#include "server/block/geometry.h"
#include "server/block/queue.h"

#define MERGE_KB 1280

static const struct limits defaults = {
	.elevator = &elevator_none,
	.nr_requests = 256,
	.queue_depth = GEOMETRY_DEPTH,
	.max_sectors_kb = MERGE_KB,
	.max_segments = GEOMETRY_SEGMENTS,
	.nomerges = QUEUE_MERGES_ALL,
	.run_depth = 2,
	.read_expire = 500,
	.write_expire = 5000,
	.writes_starved = 2,
	.fifo_batch = 16,
	.async_depth = 8,
	.fair_depth = 8,
};

/* An attribute: the elevator's name, a number of struct limits with its bounds, or something only to be read. */
struct attribute {
	const char *name;
	size_t number; /* its offset */
	unsigned least, most;
	uint64_t (*show)(const struct platter_geometry *geometry);
};

static uint64_t hardware_sectors(const struct platter_geometry *geometry)
{
	return (geometry->max_request ? geometry->max_request : UINT32_MAX) >> 10;
}

static uint64_t block_size(const struct platter_geometry *geometry)
{
	return geometry->min_block;
}

static uint64_t preferred_size(const struct platter_geometry *geometry)
{
	return geometry->preferred_block;
}

static uint64_t rotational(const struct platter_geometry *geometry)
{
	return !!(geometry->capabilities & PLATTER_DISK_ROTATIONAL);
}

static uint64_t fua(const struct platter_geometry *geometry)
{
	return !!(geometry->capabilities & PLATTER_DISK_FLUSH);
}

static uint64_t most_of(const struct platter_geometry *geometry, uint32_t capability, uint64_t limit)
{
	return !(geometry->capabilities & capability) ? 0 : limit ? limit : INT64_MAX;
}

static uint64_t discard_most(const struct platter_geometry *geometry)
{
	return most_of(geometry, PLATTER_DISK_TRIM, geometry->max_trim);
}

static uint64_t zeroes_most(const struct platter_geometry *geometry)
{
	return most_of(geometry, PLATTER_DISK_ZEROES, geometry->max_zeroes);
}

enum { SCHEDULER, NR_REQUESTS, QUEUE_DEPTH, ASYNC_DEPTH, RUN_DEPTH };

static const struct attribute attributes[] = {
	[SCHEDULER] = { .name = "scheduler" },
	[NR_REQUESTS] = { "nr_requests", offsetof(struct limits, nr_requests), 1, 1024, NULL },
	[QUEUE_DEPTH] = { "queue_depth", offsetof(struct limits, queue_depth), 1, 1024, NULL },
	[ASYNC_DEPTH] = { "async_depth", offsetof(struct limits, async_depth), 1, 1024, NULL },
	[RUN_DEPTH] = { "run_depth", offsetof(struct limits, run_depth), 0, 1024, NULL },
	{ "fair_depth", offsetof(struct limits, fair_depth), 1, 1024, NULL },
	{ "max_sectors_kb", offsetof(struct limits, max_sectors_kb), 1, 64u << 10, NULL },
	{ "max_segments", offsetof(struct limits, max_segments), 1, GEOMETRY_SEGMENTS, NULL },
	{ "nomerges", offsetof(struct limits, nomerges), QUEUE_MERGES_ALL, QUEUE_MERGES_NONE, NULL },
	{ "plug_us", offsetof(struct limits, plug_us), 0, 1000000, NULL },
	{ "read_expire", offsetof(struct limits, read_expire), 1, 3600000, NULL },
	{ "write_expire", offsetof(struct limits, write_expire), 1, 3600000, NULL },
	{ "writes_starved", offsetof(struct limits, writes_starved), 0, 1000, NULL },
	{ "fifo_batch", offsetof(struct limits, fifo_batch), 1, 1024, NULL },
	{ .name = "max_hw_sectors_kb", .show = hardware_sectors },
	{ .name = "logical_block_size", .show = block_size },
	{ .name = "optimal_io_size", .show = preferred_size },
	{ .name = "rotational", .show = rotational },
	{ .name = "fua", .show = fua },
	{ .name = "discard_max_bytes", .show = discard_most },
	{ .name = "write_zeroes_max_bytes", .show = zeroes_most },
};

#define ATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

void limits_init(struct disk_limits *own)
{
	*own = (struct disk_limits){ .limits = defaults, .generation = 1 };
	pthread_mutex_init(&own->lock, NULL);
}

void limits_destroy(struct disk_limits *own)
{
	pthread_mutex_destroy(&own->lock);
}

/* What costs nothing to reach has nothing to gain; what seeks has most. */
static const struct elevator *fitting(const struct platter_geometry *geometry)
{
	if (geometry->capabilities & PLATTER_DISK_ROTATIONAL)
		return &elevator_deadline;
	return geometry->capabilities & (PLATTER_DISK_LENDS | PLATTER_DISK_ANY_THREAD) ? &elevator_none : &elevator_merge;
}

static bool asked(const struct disk_limits *own, unsigned index)
{
	return own->asked & (1u << index);
}

void limits_opened(struct disk_limits *own, const struct platter_geometry *geometry)
{
	struct limits *limits = &own->limits;
	unsigned depth = geometry->queue_depth;

	pthread_mutex_lock(&own->lock);
	own->geometry = *geometry;
	if (!asked(own, SCHEDULER))
		limits->elevator = fitting(geometry);
	if (!asked(own, QUEUE_DEPTH) || limits->queue_depth > depth)
		limits->queue_depth = depth;
	if (!asked(own, ASYNC_DEPTH))
		limits->async_depth = defaults.async_depth;
	if (limits->async_depth > depth)
		limits->async_depth = depth;
	atomic_fetch_add(&own->generation, 1);
	pthread_mutex_unlock(&own->lock);
}

bool limits_are_fresh(const struct queue *queue)
{
	return queue->generation == atomic_load_explicit(&queue->disk->limits.generation, memory_order_relaxed);
}

/* There is no memory for another: then that is what is shown, and what the disk's queues on other reactors have. */
static void keep_elevator(struct queue *queue, const struct elevator *wanted)
{
	struct disk_limits *own = &queue->disk->limits;

	disk_log(queue->disk, ERROR, "no memory for the scheduler %s: it stays %s", wanted->name, queue->elevator->name);
	pthread_mutex_lock(&own->lock);
	if (own->limits.elevator == wanted) {
		own->limits.elevator = queue->elevator;
		atomic_fetch_add(&own->generation, 1);
	}
	pthread_mutex_unlock(&own->lock);
}

void limits_refresh(struct queue *queue)
{
	struct disk_limits *own = &queue->disk->limits;
	const struct elevator *elevator;

	if (limits_are_fresh(queue))
		return;
	pthread_mutex_lock(&own->lock);
	queue->limits = own->limits;
	queue->generation = atomic_load(&own->generation);
	pthread_mutex_unlock(&own->lock);
	/* What was found out holds for what was set. */
	trial_init(&queue->runs.trial);
	elevator = queue->limits.elevator;
	if (elevator != queue->elevator && elevator_switch(queue, elevator) < 0)
		keep_elevator(queue, elevator);
}

const char *limits_name(unsigned index)
{
	return index < ATTRIBUTES ? attributes[index].name : NULL;
}

static void show_elevators(const struct elevator *current, char *text, size_t size)
{
	const struct elevator *elevator;
	size_t length = 0;

	text[0] = '\0';
	for (unsigned i = 0; (elevator = elevator_at(i)) && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, elevator == current ? "%s[%s]" : "%s%s", i ? " " : "",
					   elevator->name);
}

void limits_show(struct disk_limits *own, unsigned index, char *text, size_t size)
{
	const struct attribute *attribute = &attributes[index];
	const struct limits *limits = &own->limits;

	pthread_mutex_lock(&own->lock);
	if (index == SCHEDULER)
		show_elevators(limits->elevator, text, size);
	else if (attribute->show)
		snprintf(text, size, "%" PRIu64, attribute->show(&own->geometry));
	else
		snprintf(text, size, "%u", *(const unsigned *)(const void *)((const char *)limits + attribute->number));
	pthread_mutex_unlock(&own->lock);
}

static int set_elevator(struct limits *limits, const char *value, struct platter_error *error)
{
	const struct elevator *elevator = elevator_by_name(value);
	char known[64];

	if (!elevator) {
		show_elevators(NULL, known, sizeof(known));
		return platter_fail(error, EINVAL, "there is no scheduler \"%.32s\": there are %s", value, known);
	}
	limits->elevator = elevator;
	return 0;
}

static int set_number(struct limits *limits, const struct attribute *attribute, unsigned most, const char *value,
		      struct platter_error *error)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || number < attribute->least || number > most)
		return platter_fail(error, EINVAL, "%s: \"%.32s\" is not a number from %u to %u", attribute->name, value,
				    attribute->least, most);
	*(unsigned *)(void *)((char *)limits + attribute->number) = (unsigned)number;
	return 0;
}

/* The bound that the driver sets, once that is known. */
static unsigned most_for(unsigned index, const struct platter_geometry *geometry)
{
	bool driver_knows = (index == QUEUE_DEPTH || index == ASYNC_DEPTH) && geometry->queue_depth;

	return driver_knows ? geometry->queue_depth : attributes[index].most;
}

int limits_set(struct disk_limits *own, const char *name, const char *value, struct platter_error *error)
{
	unsigned index = 0;
	int result;

	while (index < ATTRIBUTES && strcmp(attributes[index].name, name) != 0)
		index++;
	if (index == ATTRIBUTES)
		return platter_fail(error, ENOENT, "a queue has no attribute \"%.64s\"", name);
	if (attributes[index].show)
		return platter_fail(error, EACCES, "%s can only be read", name);
	pthread_mutex_lock(&own->lock);
	result = index == SCHEDULER ? set_elevator(&own->limits, value, error) :
				      set_number(&own->limits, &attributes[index], most_for(index, &own->geometry), value, error);
	if (result == 0) {
		own->asked |= 1u << index;
		own->limits.run_asked = asked(own, RUN_DEPTH);
		atomic_fetch_add(&own->generation, 1);
	}
	pthread_mutex_unlock(&own->lock);
	return result;
}

void limits_adopt(struct disk_limits *own, const struct disk_limits *from)
{
	pthread_mutex_lock(&own->lock);
	own->limits = from->limits;
	own->asked = from->asked;
	atomic_fetch_add(&own->generation, 1);
	pthread_mutex_unlock(&own->lock);
}
