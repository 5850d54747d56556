/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator "merge": connections in turn, requests in the order of arrival,
 * and with each one go its neighbours, found by where they begin and end.
 */
#include "server/block/elevator.h"

#include "server/block/merge.h"
#include "server/block/queue.h"
#include "server/block/request.h"

#define BUCKET_BITS 7
#define BUCKETS (1u << BUCKET_BITS)

struct merge_data {
	struct list_head by_start[BUCKETS], by_end[BUCKETS];
};

static unsigned bucket_of(uint64_t position)
{
	return (unsigned)((position >> 9) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - BUCKET_BITS));
}

static void init(struct queue *queue)
{
	struct merge_data *data = queue->elevator_data;

	for (unsigned i = 0; i < BUCKETS; i++) {
		list_init(&data->by_start[i]);
		list_init(&data->by_end[i]);
	}
}

static void insert(struct queue *queue, struct request *request)
{
	struct merge_data *data = queue->elevator_data;

	software_queue_insert(queue, request, SOFTWARE_ALL);
	list_init(&request->by_start);
	list_init(&request->by_end);
	if (!request->mergeable)
		return;
	list_add_tail(&request->by_start, &data->by_start[bucket_of(request->driver.offset)]);
	list_add_tail(&request->by_end, &data->by_end[bucket_of(request->driver.offset + request->driver.length)]);
}

static void take_out(struct queue *queue, struct request *request)
{
	list_del_init(&request->by_start);
	list_del_init(&request->by_end);
	software_queue_remove(queue, request, SOFTWARE_ALL);
}

static struct request *following(struct queue *queue, const struct request *request)
{
	struct merge_data *data = queue->elevator_data;
	uint64_t end = request->driver.offset + request->driver.length;
	struct list_head *node, *bucket = &data->by_start[bucket_of(end)];

	list_for_each(node, bucket) {
		struct request *other = container_of(node, struct request, by_start);

		if (other->driver.offset == end && merge_fits(request, other))
			return other;
	}
	return NULL;
}

static struct request *preceding(struct queue *queue, const struct request *request)
{
	struct merge_data *data = queue->elevator_data;
	struct list_head *node, *bucket = &data->by_end[bucket_of(request->driver.offset)];

	list_for_each(node, bucket) {
		struct request *other = container_of(node, struct request, by_end);

		if (other->driver.offset + other->driver.length == request->driver.offset && merge_fits(request, other))
			return other;
	}
	return NULL;
}

static struct request *next(struct queue *queue)
{
	return software_queue_next(queue, SOFTWARE_ALL, 1);
}

static struct request *find(struct queue *queue, const void *owner)
{
	return software_queue_find(queue, SOFTWARE_ALL, elevator_is_of, owner);
}

const struct elevator elevator_merge = {
	.name = "merge",
	.size = sizeof(struct merge_data),
	.init = init,
	.insert = insert,
	.remove = take_out,
	.next = next,
	.following = following,
	.preceding = preceding,
	.find = find,
};
