/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/overlap.h"

#include "server/block/request.h"

#define GRANULE_BITS 16
#define GRANULE (UINT64_C(1) << GRANULE_BITS)

void overlap_init(struct overlaps *overlaps)
{
	for (unsigned i = 0; i < OVERLAP_BUCKETS; i++)
		list_init(&overlaps->bucket[i]);
	list_init(&overlaps->longer);
	list_init(&overlaps->waiting);
	overlaps->count = 0;
}

static struct list_head *bucket_of(struct overlaps *overlaps, uint64_t granule)
{
	return &overlaps->bucket[granule * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

_Static_assert(OVERLAP_BUCKETS == 1 << (64 - 56), "the hash gives as many");

static bool overlap(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset + b->driver.length && b->driver.offset < a->driver.offset + a->driver.length;
}

static struct request *find_in(struct list_head *list, const struct request *request)
{
	struct list_head *node;

	list_for_each(node, list) {
		struct request *other = container_of(node, struct request, change);

		if (overlap(request, other))
			return other;
	}
	return NULL;
}

/* One that REQUEST overlaps and that waits for nobody. */
static struct request *find_running(struct overlaps *overlaps, const struct request *request)
{
	uint64_t first = request->driver.offset >> GRANULE_BITS;
	uint64_t last = (request->driver.offset + request->driver.length - 1) >> GRANULE_BITS;
	struct request *found = find_in(&overlaps->longer, request);

	first -= first > 0;
	/* A long one meets every bucket at least once. */
	if (last - first >= OVERLAP_BUCKETS) {
		for (unsigned i = 0; !found && i < OVERLAP_BUCKETS; i++)
			found = find_in(&overlaps->bucket[i], request);
		return found;
	}
	for (; !found && first <= last; first++)
		found = find_in(bucket_of(overlaps, first), request);
	return found;
}

/* The latest of the waiting ones that REQUEST has to wait for; it came after all of them, or is one itself. */
static struct request *find_waiting(const struct overlaps *overlaps, const struct request *request)
{
	struct list_head *node = list_empty(&request->wait) ? overlaps->waiting.prev : request->wait.prev;

	for (; node != &overlaps->waiting; node = node->prev) {
		struct request *earlier = container_of(node, struct request, wait);

		if (overlap(request, earlier))
			return earlier;
	}
	return NULL;
}

bool overlap_enter(struct overlaps *overlaps, struct request *request)
{
	struct request *blocker = find_waiting(overlaps, request);

	if (!blocker && overlaps->count)
		blocker = find_running(overlaps, request);
	if (!blocker) {
		list_del_init(&request->wait);
		list_add_tail(&request->change, request->driver.length > GRANULE ? &overlaps->longer :
						bucket_of(overlaps, request->driver.offset >> GRANULE_BITS));
		overlaps->count++;
		return true;
	}
	if (list_empty(&request->wait))
		list_add_tail(&request->wait, &overlaps->waiting);
	list_add_tail(&request->link, &blocker->waiters);
	return false;
}

void overlap_leave(struct overlaps *overlaps, struct request *request)
{
	if (list_empty(&request->change))
		return;
	list_del_init(&request->change);
	overlaps->count--;
}

void overlap_take_waiting(struct overlaps *overlaps, const void *owner, struct list_head *taken)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &overlaps->waiting) {
		struct request *request = container_of(node, struct request, wait);

		if (request->owner != owner)
			continue;
		list_del_init(&request->wait);
		list_del_init(&request->link);
		list_add_tail(&request->link, taken);
	}
}
