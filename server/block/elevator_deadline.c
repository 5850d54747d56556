/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator "deadline", as the kernel's mq-deadline: requests go in batches
 * of one direction, sorted by offset; reads before writes, but writes are
 * passed over only so many times; and a batch begins with the oldest request of
 * its direction when that has waited for too long.
 */
#include "server/block/elevator.h"

#include <bsd/sys/tree.h>

#include "server/block/merge.h"
#include "server/block/queue.h"
#include "server/block/request.h"

RB_HEAD(sorted_tree, request);

enum direction { READS, CHANGES, DIRECTIONS };

struct deadline_data {
	struct {
		struct sorted_tree sorted;
		struct list_head fifo;      /* in the order of arrival */
		struct request *next;       /* where the batch goes on; NULL: at its end */
	} side[DIRECTIONS];
	enum direction direction;           /* of the batch */
	unsigned batched, starved;          /* requests in it; batches of reads that changes have waited for */
};

static int compare(const struct request *a, const struct request *b)
{
	if (a->driver.offset != b->driver.offset)
		return a->driver.offset < b->driver.offset ? -1 : 1;
	/* Reads of the same data, in any order. */
	return (uintptr_t)a < (uintptr_t)b ? -1 : a != b;
}

/* As in overlap.c. */
RB_GENERATE_INTERNAL(sorted_tree, request, sorted, compare, static inline)

static enum direction direction_of(const struct request *request)
{
	return request->driver.op == PLATTER_OP_READ || request->driver.op == PLATTER_OP_CACHE ? READS : CHANGES;
}

static void init(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	for (unsigned i = 0; i < DIRECTIONS; i++)
		list_init(&data->side[i].fifo);
}

static void insert(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum direction direction = direction_of(request);

	RB_INSERT(sorted_tree, &data->side[direction].sorted, request);
	list_add_tail(&request->link, &data->side[direction].fifo);
}

static void take_out(struct queue *queue, struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	enum direction direction = direction_of(request);

	/* The sweep goes on behind what was taken last. */
	data->side[direction].next = RB_NEXT(sorted_tree, &data->side[direction].sorted, request);
	RB_REMOVE(sorted_tree, &data->side[direction].sorted, request);
	list_del_init(&request->link);
}

static bool may_go(const struct queue *queue, enum direction direction)
{
	const struct deadline_data *data = queue->elevator_data;

	return !list_empty(&data->side[direction].fifo) &&
	       (direction == READS || queue->changes_in_driver < queue->limits.async_depth);
}

static bool has_expired(const struct queue *queue, const struct request *request)
{
	uint64_t limit = direction_of(request) == READS ? queue->limits.read_expire : queue->limits.write_expire;

	return queue->now >= request->arrived + limit * 1000000;
}

/* Which direction the next batch has; one of them may go. */
static enum direction choose(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;

	if (!may_go(queue, CHANGES))
		return READS;
	/* Whatever the limit: reads that wait have a turn after each batch of changes. */
	if (may_go(queue, READS) && (data->direction == CHANGES || data->starved < queue->limits.writes_starved)) {
		data->starved++;
		return READS;
	}
	data->starved = 0;
	return CHANGES;
}

static struct request *next(struct queue *queue)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *oldest;

	if (!may_go(queue, READS) && !may_go(queue, CHANGES))
		return NULL;
	if (data->batched < queue->limits.fifo_batch && data->side[data->direction].next && may_go(queue, data->direction)) {
		data->batched++;
		return data->side[data->direction].next;
	}
	data->direction = choose(queue);
	data->batched = 1;
	oldest = list_first_entry(&data->side[data->direction].fifo, struct request, link);
	if (!data->side[data->direction].next || has_expired(queue, oldest))
		return oldest;
	return data->side[data->direction].next;
}

/* The first in the order of the disk that begins at OFFSET or behind it. */
static struct request *first_from(const struct sorted_tree *sorted, uint64_t offset)
{
	struct request *node = RB_ROOT(sorted);
	struct request *found = NULL;

	while (node) {
		bool behind = node->driver.offset >= offset;

		if (behind)
			found = node;
		node = behind ? RB_LEFT(node, sorted) : RB_RIGHT(node, sorted);
	}
	return found;
}

/* The last one that begins before OFFSET. */
static struct request *last_before(const struct sorted_tree *sorted, uint64_t offset)
{
	struct request *node = RB_ROOT(sorted);
	struct request *found = NULL;

	while (node) {
		bool before = node->driver.offset < offset;

		if (before)
			found = node;
		node = before ? RB_RIGHT(node, sorted) : RB_LEFT(node, sorted);
	}
	return found;
}

static struct request *following(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	uint64_t end = request->driver.offset + request->driver.length;
	struct request *other = first_from(&data->side[direction_of(request)].sorted, end);

	if (other && other->driver.offset == end && merge_allowed(queue, other) && merge_fits(request, other))
		return other;
	return NULL;
}

static struct request *preceding(struct queue *queue, const struct request *request)
{
	struct deadline_data *data = queue->elevator_data;
	struct request *other = last_before(&data->side[direction_of(request)].sorted, request->driver.offset);

	if (other && other->driver.offset + other->driver.length == request->driver.offset && merge_allowed(queue, other) &&
	    merge_fits(request, other))
		return other;
	return NULL;
}

static struct request *find(struct queue *queue, const void *owner)
{
	struct deadline_data *data = queue->elevator_data;
	struct list_head *node;

	for (unsigned i = 0; i < DIRECTIONS; i++) {
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
