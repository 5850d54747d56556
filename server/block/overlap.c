/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/overlap.h"

#include "server/block/request.h"

/* Ranges that overlap are equal, so that inserting one finds the other. */
static int compare(const struct request *a, const struct request *b)
{
	if (a->driver.offset + a->driver.length <= b->driver.offset)
		return -1;
	return a->driver.offset >= b->driver.offset + b->driver.length;
}

/* RB_GENERATE_STATIC would want __unused, which glibc lacks. */
RB_GENERATE_INTERNAL(overlap_tree, request, change, compare, static inline)

void overlap_init(struct overlaps *overlaps)
{
	RB_INIT(&overlaps->running);
	list_init(&overlaps->waiting);
}

/* The latest of the waiting ones that REQUEST has to wait for; it came after all of them, or is one itself. */
static struct request *find_waiting(const struct overlaps *overlaps, const struct request *request)
{
	struct list_head *node = list_empty(&request->wait) ? overlaps->waiting.prev : request->wait.prev;

	for (; node != &overlaps->waiting; node = node->prev) {
		struct request *earlier = container_of(node, struct request, wait);

		if (compare(request, earlier) == 0)
			return earlier;
	}
	return NULL;
}

bool overlap_enter(struct overlaps *overlaps, struct request *request)
{
	struct request *blocker = find_waiting(overlaps, request);

	if (!blocker)
		blocker = RB_INSERT(overlap_tree, &overlaps->running, request);
	if (!blocker) {
		list_del_init(&request->wait);
		request->changing = true;
		return true;
	}
	if (list_empty(&request->wait))
		list_add_tail(&request->wait, &overlaps->waiting);
	list_add_tail(&request->link, &blocker->waiters);
	return false;
}

void overlap_leave(struct overlaps *overlaps, struct request *request)
{
	RB_REMOVE(overlap_tree, &overlaps->running, request);
	request->changing = false;
}

struct request *overlap_take_waiting(struct overlaps *overlaps, const void *owner)
{
	struct list_head *node;

	list_for_each(node, &overlaps->waiting) {
		struct request *request = container_of(node, struct request, wait);

		if (request->owner != owner)
			continue;
		list_del_init(&request->wait);
		list_del_init(&request->link);
		return request;
	}
	return NULL;
}
