/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator "deadline", as the kernel's mq-deadline: requests go in batches
 * of one direction, sorted by offset; reads before writes, but writes are
 * passed over only so many times; and a batch begins with the oldest request of
 * its direction when that has waited for too long.
 *
 * What is sorted is a window, which connections fill in turn, and the next one
 * when it has been emptied: who sends hundreds of requests keeps another one
 * waiting for two windows at most.
 */
#include "server/block/elevator.h"

#include <bsd/sys/tree.h>

#include "server/block/merge.h"
#include "server/block/queue.h"
#include "server/block/request.h"

RB_HEAD(sorted_tree, request);

/* Requests of a direction that are sorted at a time. */
#define WINDOW 32

struct deadline_data {
	uint64_t reading_until;             /* when no read has come for read_expire; CLOCK_MONOTONIC, ns */
	struct {
		struct sorted_tree sorted;
		struct list_head fifo;      /* the same, the oldest first */
		unsigned count;
		struct request *next;       /* where the batch goes on; NULL: at its end */
	} side[ELEVATOR_SIDES];
	enum elevator_side direction;           /* of the batch */
	unsigned batched, starved;          /* requests in it; batches of reads that changes have waited for */
};

/* A is the one that is put into the tree: behind those at the same place, which are reads. */
static int compare(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset ? -1 : 1;
}

/* RB_GENERATE_STATIC would want __unused, which glibc lacks. */
RB_GENERATE_INTERNAL(sorted_tree, request, sorted, compare, __attribute__((unused)) static inline)

static enum elevator_side direction_of(const struct request *request)
{
	return request->driver.op == PLATTER_OP_READ || request->driver.op == PLATTER_OP_CACHE ? ELEVATOR_READS : ELEVATOR_CHANGES;
}

static void init(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	for (unsigned i = 0; i < ELEVATOR_SIDES; i++)
		list_init(&data->side[i].fifo);
}

static uint64_t expires(const struct queue *queue, const struct request *request)
{
	uint64_t limit = direction_of(request) == ELEVATOR_READS ? queue->limits.read_expire : queue->limits.write_expire;

	return request->arrived + limit * 1000000;
}

static void insert(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;

	if (direction_of(request) == ELEVATOR_READS)
		data->reading_until = expires(queue, request);
	request->staged = false;
	elevator_round_insert(queue, request, direction_of(request));
}

static void take_out(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum elevator_side direction = direction_of(request);

	if (!request->staged) {
		elevator_round_remove(queue, request, direction);
		return;
	}
	/* The sweep goes on behind what was taken last. */
	data->side[direction].next = RB_NEXT(sorted_tree, &data->side[direction].sorted, request);
	RB_REMOVE(sorted_tree, &data->side[direction].sorted, request);
	data->side[direction].count--;
	list_del_init(&request->link);
}

/* The next window, once the last one has been emptied: what comes meanwhile doesn't get in front of those that are there. */
static void stage(struct queue *queue, enum elevator_side direction)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *request;

	if (data->side[direction].count)
		return;
	while (data->side[direction].count < WINDOW && (request = elevator_round_next(queue, direction))) {
		elevator_round_remove(queue, request, direction);
		request->staged = true;
		RB_INSERT(sorted_tree, &data->side[direction].sorted, request);
		list_add_tail(&request->link, &data->side[direction].fifo);
		data->side[direction].count++;
	}
}

/* Where reads come, too, the driver isn't filled with changes, which the next read would wait for. */
static bool holds_back(const struct queue *queue)
{
	const struct deadline_data *data = queue->elevator_data;

	return queue->now < data->reading_until &&
	       (queue->changes_in_driver >= queue->limits.async_depth || queue->change_bytes >= ELEVATOR_ASYNC_BYTES);
}

static bool may_go(const struct queue *queue, enum elevator_side direction)
{
	const struct deadline_data *data = queue->elevator_data;

	return !list_empty(&data->side[direction].fifo) && (direction == ELEVATOR_READS || !holds_back(queue));
}

/* Which direction the next batch has; one of them may go. */
static enum elevator_side choose(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	if (!may_go(queue, ELEVATOR_CHANGES))
		return ELEVATOR_READS;
	/* Whatever the limit: reads that wait have a turn after each batch of changes. */
	if (may_go(queue, ELEVATOR_READS) && (data->direction == ELEVATOR_CHANGES || data->starved < queue->limits.writes_starved)) {
		data->starved++;
		return ELEVATOR_READS;
	}
	data->starved = 0;
	return ELEVATOR_CHANGES;
}

static struct request *next(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *oldest;

	stage(queue, ELEVATOR_READS);
	stage(queue, ELEVATOR_CHANGES);
	if (!may_go(queue, ELEVATOR_READS) && !may_go(queue, ELEVATOR_CHANGES))
		return NULL;
	if (data->batched < queue->limits.fifo_batch && data->side[data->direction].next && may_go(queue, data->direction)) {
		data->batched++;
		return data->side[data->direction].next;
	}
	data->direction = choose(queue);
	data->batched = 1;
	oldest = list_first_entry(&data->side[data->direction].fifo, struct request, link);
	if (!data->side[data->direction].next || queue->now >= expires(queue, oldest))
		return oldest;
	return data->side[data->direction].next;
}

/* REQUEST, or what it is to be merged with, was taken last: the sweep goes on behind it, and what is before that is before it. */
static struct request *following(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *other = data->side[direction_of(request)].next;

	if (other && other->driver.offset == request->driver.offset + request->driver.length && other->mergeable &&
	    merge_fits(request, other))
		return other;
	return NULL;
}

static struct request *preceding(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *behind = data->side[direction_of(request)].next;
	struct request *other = behind ? RB_PREV(sorted_tree, NULL, behind) :
					 RB_MAX(sorted_tree, &data->side[direction_of(request)].sorted);

	if (other && other->driver.offset + other->driver.length == request->driver.offset && other->mergeable &&
	    merge_fits(request, other))
		return other;
	return NULL;
}

static struct request *find(struct queue *queue, const void *owner)
{
	struct deadline_data *data = queue->elevator_data;
	struct list_head *node;

	for (unsigned i = 0; i < ELEVATOR_SIDES; i++) {
		struct request *waiting = elevator_round_find(queue, owner, i);

		if (waiting)
			return waiting;
		list_for_each(node, &data->side[i].fifo) {
			struct request *request = container_of(node, struct request, link);

			if (!owner || request->owner == owner)
				return request;
		}
	}
	return NULL;
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
	.find = find,
};
