/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator "deadline", as the kernel's mq-deadline: requests go in batches
 * of one direction, sorted by offset; reads before writes, but writes are
 * passed over only so many times; and a batch begins with the oldest request of
 * its direction when that has waited for too long.
 *
 * What is sorted is a window, which connections fill in turn, each as far as
 * its share of the driver goes (software_queue.h), or as the one that sends
 * least would come, and the next one when it has been emptied: who
 * sends hundreds of requests keeps another one waiting for two windows at most.
 */
#include "server/block/elevator.h"

#include "server/block/merge.h"
#include "server/block/queue.h"
#include "server/block/request.h"

/* Requests of a direction that are sorted at a time; of one connection, where the driver takes less, so many at any rate. */
#define WINDOW 32
#define WINDOW_SHARE 4

#define DIRECTIONS 2

struct deadline_data {
	uint64_t reading_until;             /* when no read has come for read_expire; CLOCK_MONOTONIC, ns */
	struct {
		struct list_head sorted;    /* the window */
		struct list_head fifo;      /* the same, the oldest first */
		struct list_head *next;     /* of `sorted`: where the batch goes on; `sorted` itself: at its end */
	} side[DIRECTIONS];
	enum software_side direction;           /* of the batch */
	unsigned batched, starved;          /* requests in it; batches of reads that changes have waited for */
};

static enum software_side direction_of(const struct request *request)
{
	switch (request->driver.op) {
	case PLATTER_OP_READ:
	case PLATTER_OP_CACHE:
	case PLATTER_OP_EXTENTS:
		return SOFTWARE_READS;
	default:
		return SOFTWARE_CHANGES;
	}
}

static void init(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	for (unsigned i = 0; i < DIRECTIONS; i++) {
		list_init(&data->side[i].sorted);
		list_init(&data->side[i].fifo);
		data->side[i].next = &data->side[i].sorted;
	}
}

static uint64_t expires(const struct queue *queue, const struct request *request)
{
	uint64_t limit = direction_of(request) == SOFTWARE_READS ? queue->limits.read_expire : queue->limits.write_expire;

	return request->arrived + limit * 1000000;
}

static void insert(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;

	if (direction_of(request) == SOFTWARE_READS)
		data->reading_until = expires(queue, request);
	request->staged = false;
	software_queue_insert(queue, request, direction_of(request));
}

static void take_out(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum software_side direction = direction_of(request);

	if (!request->staged) {
		software_queue_remove(queue, request, direction);
		return;
	}
	/* The sweep goes on behind what was taken last. */
	data->side[direction].next = request->sorted.next;
	list_del_init(&request->sorted);
	list_del_init(&request->link);
	software_queue_give_back(queue, request);
}

/* A place of the window while it is sorted. */
struct place {
	uint64_t offset;
	struct request *request;
};

/* Puts REQUEST into the sorted WINDOW of COUNT: behind those of the same offset, which are reads like it. */
static void sort_in(struct place window[WINDOW], unsigned count, struct request *request)
{
	uint64_t offset = request->driver.offset;

	for (; count && window[count - 1].offset > offset; count--)
		window[count] = window[count - 1];
	window[count] = (struct place){ offset, request };
}

/* The next window: what the connections have, in turn. */
static void fill(struct queue *queue, enum software_side direction)
{
	struct deadline_data *data = queue->elevator_data;
	struct place window[WINDOW];
	unsigned share = queue->software.least > WINDOW_SHARE ? queue->software.least : WINDOW_SHARE;
	struct request *request;
	unsigned count = 0;

	while (count < WINDOW && (request = software_queue_next(queue, direction, share))) {
		software_queue_remove(queue, request, direction);
		software_queue_take_place(request);
		list_add_tail(&request->link, &data->side[direction].fifo);
		sort_in(window, count++, request);
	}
	for (unsigned i = 0; i < count; i++) {
		window[i].request->staged = true;
		list_add_tail(&window[i].request->sorted, &data->side[direction].sorted);
	}
}

/* Once the last one has been emptied: what comes meanwhile doesn't get in front of those that are there. */
static void stage(struct queue *queue, enum software_side direction)
{
	const struct deadline_data *data = queue->elevator_data;

	if (list_empty(&data->side[direction].fifo))
		fill(queue, direction);
}

/* Whether reads come, too: then the driver isn't filled with changes, which the next read would wait for. */
static bool reads_come(const struct queue *queue)
{
	const struct deadline_data *data = queue->elevator_data;

	return queue->now < data->reading_until;
}

static bool holds_back(const struct queue *queue)
{
	return reads_come(queue) &&
	       (queue->changes_in_driver >= queue->limits.async_depth || queue->change_bytes >= ELEVATOR_ASYNC_BYTES);
}

static bool may_go(const struct queue *queue, enum software_side direction)
{
	const struct deadline_data *data = queue->elevator_data;

	return !list_empty(&data->side[direction].fifo) && (direction == SOFTWARE_READS || !holds_back(queue));
}

/* Which direction the next batch has; one of them may go. */
static enum software_side choose(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	if (!may_go(queue, SOFTWARE_CHANGES))
		return SOFTWARE_READS;
	/* Whatever the limit: reads that wait have a turn after each batch of changes. */
	if (may_go(queue, SOFTWARE_READS) && (data->direction == SOFTWARE_CHANGES || data->starved < queue->limits.writes_starved)) {
		data->starved++;
		return SOFTWARE_READS;
	}
	data->starved = 0;
	return SOFTWARE_CHANGES;
}

/* The request at NODE of the window; NULL at its end. */
static struct request *request_at(const struct queue *queue, enum software_side direction, struct list_head *node)
{
	const struct deadline_data *data = queue->elevator_data;

	return node != &data->side[direction].sorted ? container_of(node, struct request, sorted) : NULL;
}

static struct request *next(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *oldest, *further;

	stage(queue, SOFTWARE_READS);
	stage(queue, SOFTWARE_CHANGES);
	if (!may_go(queue, SOFTWARE_READS) && !may_go(queue, SOFTWARE_CHANGES))
		return NULL;
	further = request_at(queue, data->direction, data->side[data->direction].next);
	if (data->batched < queue->limits.fifo_batch && further && may_go(queue, data->direction)) {
		data->batched++;
		return further;
	}
	data->direction = choose(queue);
	data->batched = 1;
	oldest = list_first_entry(&data->side[data->direction].fifo, struct request, link);
	further = request_at(queue, data->direction, data->side[data->direction].next);
	return !further || queue->now >= expires(queue, oldest) ? oldest : further;
}

/* REQUEST, or what it is to be merged with, was taken last: the sweep goes on behind it, and what is before that is before it. */
static struct request *following(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum software_side direction = direction_of(request);
	struct request *other = request_at(queue, direction, data->side[direction].next);

	if (other && other->driver.offset == request->driver.offset + request->driver.length && other->mergeable &&
	    merge_fits(request, other))
		return other;
	return NULL;
}

static struct request *preceding(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum software_side direction = direction_of(request);
	struct request *other = request_at(queue, direction, data->side[direction].next->prev);

	if (other && other->driver.offset + other->driver.length == request->driver.offset && other->mergeable &&
	    merge_fits(request, other))
		return other;
	return NULL;
}

static uint64_t limit(const struct queue *queue, const struct request *request)
{
	return direction_of(request) == SOFTWARE_CHANGES && reads_come(queue) ? ELEVATOR_ASYNC_BYTES : UINT64_MAX;
}

/* What is in the window first: it is the older. */
static struct request *find(struct queue *queue, const void *owner)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *waiting = NULL;
	struct list_head *node;

	for (unsigned i = 0; i < DIRECTIONS && !waiting; i++) {
		list_for_each(node, &data->side[i].fifo) {
			struct request *request = container_of(node, struct request, link);

			if (elevator_is_of(request, owner))
				return request;
		}
		waiting = software_queue_find(queue, i, elevator_is_of, owner);
	}
	return waiting;
}

const struct elevator elevator_deadline = {
	.name = "deadline",
	.size = sizeof(struct deadline_data),
	.init = init,
	.insert = insert,
	.remove = take_out,
	.next = next,
	.following = following,
	.preceding = preceding,
	.merge_limit = limit,
	.find = find,
};
