/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/merge.h"

#include <errno.h>
#include <string.h>

#include "server/block/disk.h"
#include "server/block/elevator.h"
#include "server/block/queue.h"
#include "server/block/request.h"
#include "server/block/split.h"

bool merge_allowed(const struct queue *queue, const struct request *request)
{
	uint32_t capabilities = queue->disk->geometry.capabilities;

	if (queue->limits.nomerges == QUEUE_MERGES_NONE)
		return false;
	switch (request->driver.op) {
	case PLATTER_OP_READ:
		/* What is lent, or is a hole, isn't known before it is back. */
		return !(capabilities & PLATTER_DISK_LENDS) && !request->sparse;
	case PLATTER_OP_WRITE:
		return !request->edges;
	case PLATTER_OP_TRIM:
	case PLATTER_OP_ZEROES:
		return true;
	default:
		return false;
	}
}

bool merge_fits(const struct request *a, const struct request *b)
{
	return a->driver.op == b->driver.op && a->driver.flags == b->driver.flags && a->sync == b->sync;
}

/* What members have together. */
struct sum {
	struct list_head members; /* in the order of the disk */
	uint64_t bytes;
	unsigned segments;
};

uint64_t merge_limit(const struct queue *queue, const struct request *request)
{
	uint64_t hardware = split_limit(request->driver.op, &queue->disk->geometry);
	uint64_t most = (uint64_t)queue->limits.max_sectors_kb << 10;
	uint64_t elevator = queue->elevator->merge_limit ? queue->elevator->merge_limit(queue, request) : UINT64_MAX;

	if (elevator < most)
		most = elevator;
	return hardware && hardware < most ? hardware : most;
}

/* Whether OTHER still goes with them: then it is counted. */
static bool fits(const struct queue *queue, struct sum *sum, const struct request *other)
{
	if (sum->bytes + other->driver.length > merge_limit(queue, other) ||
	    sum->segments + other->driver.iovcnt > queue->limits.max_segments)
		return false;
	sum->bytes += other->driver.length;
	sum->segments += other->driver.iovcnt;
	return true;
}

/* The same, and it leaves the elevator. */
static bool take(struct queue *queue, struct sum *sum, struct request *other)
{
	if (!fits(queue, sum, other))
		return false;
	queue_take(queue, other);
	return true;
}

static void gather(struct queue *queue, struct sum *sum)
{
	struct request *other;

	while ((other = queue->elevator->following(queue, container_of(sum->members.prev, struct request, link))) &&
	       take(queue, sum, other))
		list_add_tail(&other->link, &sum->members);
	if (queue->limits.nomerges != QUEUE_MERGES_ALL)
		return;
	while ((other = queue->elevator->preceding(queue, list_first_entry(&sum->members, struct request, link))) &&
	       take(queue, sum, other))
		list_add(&other->link, &sum->members);
}

/* What takes the place of TURN, whose turn it is. */
static struct request *make(struct queue *queue, struct sum *sum, const struct request *turn)
{
	const struct request *first = list_first_entry(&sum->members, struct request, link);
	struct request *merged = request_get(first->block);
	struct list_head *node;

	if (!merged || request_reserve_segments(merged, sum->segments) < 0) {
		request_put(merged);
		return NULL;
	}
	merged->queue = queue;
	merged->from = turn->from;
	merged->side = turn->side;
	merged->owner = NULL;
	merged->sync = first->sync;
	merged->mergeable = true;
	merged->driver.op = first->driver.op;
	merged->driver.flags = first->driver.flags;
	merged->driver.disk = first->driver.disk;
	merged->driver.offset = first->driver.offset;
	merged->driver.length = sum->bytes;
	list_for_each(node, &sum->members) {
		const struct request *member = container_of(node, struct request, link);

		memcpy(&merged->driver.iov[merged->driver.iovcnt], member->driver.iov, member->driver.iovcnt * sizeof(struct iovec));
		merged->driver.iovcnt += member->driver.iovcnt;
	}
	list_splice_tail_init(&sum->members, &merged->members);
	return merged;
}

static void sum_init(struct sum *sum, struct request *first)
{
	*sum = (struct sum){ .bytes = first->driver.length, .segments = first->driver.iovcnt };
	list_init(&sum->members);
	list_del_init(&first->link);
	list_add_tail(&first->link, &sum->members);
}

/* One request for them all, or FIRST when it is the only one. */
static struct request *put_together(struct queue *queue, struct sum *sum, struct request *first)
{
	struct request *merged = sum->bytes > first->driver.length ? make(queue, sum, first) : NULL;
	struct list_head *node;

	if (merged)
		return merged;
	/* Alone, or there is no memory: one by one, then. */
	list_del_init(&first->link);
	while ((node = list_pop(&sum->members)))
		queue_insert(queue, container_of(node, struct request, link));
	return first;
}

struct request *merge_neighbours(struct queue *queue, struct request *request)
{
	struct sum sum;

	if (!request->mergeable || queue->limits.nomerges == QUEUE_MERGES_NONE)
		return request;
	/* As a rule there are none, where requests are random. */
	if (!queue->elevator->following(queue, request) && !queue->elevator->preceding(queue, request))
		return request;
	sum_init(&sum, request);
	gather(queue, &sum);
	return put_together(queue, &sum, request);
}

struct request *merge_list(struct queue *queue, struct list_head *list)
{
	struct request *first = list_first_entry(list, struct request, link);
	const struct request *last = first;
	struct sum sum;

	sum_init(&sum, first);
	while (!list_empty(list)) {
		struct request *other = list_first_entry(list, struct request, link);

		if (other->driver.offset != last->driver.offset + last->driver.length || !fits(queue, &sum, other))
			break;
		list_del_init(&other->link);
		list_add_tail(&other->link, &sum.members);
		last = other;
	}
	return put_together(queue, &sum, first);
}

void merge_count(struct queue *queue, const struct request *merged)
{
	bool passed_over = false;
	struct list_head *node;

	list_for_each(node, &merged->members) {
		const struct request *member = container_of(node, struct request, link);

		/* The one whose turn it was, or one that counts for the same. */
		if (!passed_over && member->from == merged->from)
			passed_over = true;
		else
			account_merged(&queue->account, member);
	}
}

struct request *merge_take_member(struct request *merged)
{
	struct list_head *node = list_pop(&merged->members);

	return node ? container_of(node, struct request, link) : NULL;
}
