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

	if (request->alone || queue->limits.nomerges == QUEUE_MERGES_NONE)
		return false;
	switch (request->driver.op) {
	case PLATTER_OP_READ:
		/* What is lent isn't known before it is back. */
		return !(capabilities & PLATTER_DISK_LENDS);
	case PLATTER_OP_WRITE:
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
	unsigned segments, count;
};

/* Whether OTHER still goes with them: then it leaves the elevator. */
static bool take(struct queue *queue, struct sum *sum, struct request *other)
{
	uint64_t most = split_limit(other->driver.op, &queue->disk->geometry);

	if (most == 0 || most > (uint64_t)queue->limits.max_sectors_kb << 10)
		most = (uint64_t)queue->limits.max_sectors_kb << 10;
	if (sum->bytes + other->driver.length > most || sum->segments + other->driver.iovcnt > queue->limits.max_segments)
		return false;
	queue_take(queue, other);
	sum->bytes += other->driver.length;
	sum->segments += other->driver.iovcnt;
	sum->count++;
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

static struct request *make(struct queue *queue, struct sum *sum)
{
	const struct request *first = list_first_entry(&sum->members, struct request, link);
	struct request *merged = request_get(first->block);
	struct list_head *node;

	if (!merged || request_reserve_segments(merged, sum->segments) < 0) {
		request_put(merged);
		return NULL;
	}
	merged->queue = queue;
	merged->owner = NULL;
	merged->sync = first->sync;
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

struct request *merge_neighbours(struct queue *queue, struct request *request)
{
	struct sum sum = { .bytes = request->driver.length, .segments = request->driver.iovcnt };
	struct request *result;

	if (!queue->elevator->following || !merge_allowed(queue, request))
		return request;
	list_init(&sum.members);
	list_add_tail(&request->link, &sum.members);
	gather(queue, &sum);
	if (sum.count == 0) {
		list_del_init(&request->link);
		return request;
	}
	result = make(queue, &sum);
	if (!result) {
		struct list_head *node;

		/* No memory to put them together: one by one, then. */
		list_del_init(&request->link);
		while ((node = list_pop(&sum.members)))
			queue_resume(queue, container_of(node, struct request, link));
		return request;
	}
	return result;
}

struct request *merge_take_member(struct request *merged)
{
	struct list_head *node = list_pop(&merged->members);

	return node ? container_of(node, struct request, link) : NULL;
}
