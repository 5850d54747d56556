/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/overlap.h"

#include "server/block/request.h"

/* Of each level; nothing is longer than a granule of the last. */
static const unsigned granule_bits[OVERLAP_LEVELS] = { 16, 20, 24, 28, 63 };

static void table_init(struct overlap_table *table)
{
	for (unsigned i = 0; i < OVERLAP_BUCKETS; i++)
		list_init(&table->bucket[i]);
	for (unsigned level = 0; level < OVERLAP_LEVELS; level++)
		table->count[level] = 0;
}

void overlap_init(struct overlaps *overlaps)
{
	table_init(&overlaps->entered);
	table_init(&overlaps->blocked);
	list_init(&overlaps->waiting);
	overlaps->arrivals = 0;
}

static unsigned level_of(const struct request *request)
{
	unsigned level = 0;

	while (level < OVERLAP_LEVELS - 1 && request->driver.length > UINT64_C(1) << granule_bits[level])
		level++;
	return level;
}

/* The levels share the buckets: as a rule few of them are in use. */
static struct list_head *bucket_of(struct overlap_table *table, unsigned level, uint64_t granule)
{
	return &table->bucket[((granule * UINT64_C(0x9e3779b97f4a7c15) >> 56) + level) % OVERLAP_BUCKETS];
}

_Static_assert(OVERLAP_BUCKETS == 1 << (64 - 56), "the hash gives as many");

static void table_add(struct overlap_table *table, struct request *request)
{
	unsigned level = level_of(request);

	list_add_tail(&request->change, bucket_of(table, level, request->driver.offset >> granule_bits[level]));
	table->count[level]++;
}

static void table_remove(struct overlap_table *table, struct request *request)
{
	if (list_empty(&request->change))
		return;
	list_del_init(&request->change);
	table->count[level_of(request)]--;
}

static bool overlap(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset + b->driver.length && b->driver.offset < a->driver.offset + a->driver.length;
}

/* A covers all of B. */
static bool covers(const struct request *a, const struct request *b)
{
	return a->driver.offset <= b->driver.offset && a->driver.offset + a->driver.length >= b->driver.offset + b->driver.length;
}

/* A waiter of REQUEST's covers it. */
static bool is_covered(const struct request *request)
{
	struct list_head *node;

	list_for_each(node, &request->waiters)
		if (covers(container_of(node, struct request, link), request))
			return true;
	return false;
}

static uint64_t last_byte(const struct request *request)
{
	return request->driver.offset + request->driver.length - 1;
}

/* It meets every bucket at least once. */
static bool is_long(const struct request *request)
{
	return (last_byte(request) >> granule_bits[0]) - (request->driver.offset >> granule_bits[0]) >= OVERLAP_BUCKETS;
}

/* FOUND, or else any in LIST that REQUEST overlaps. */
static struct request *any_in(struct list_head *list, const struct request *request, struct request *found)
{
	struct list_head *node;

	if (found)
		return found;
	list_for_each(node, list) {
		struct request *other = container_of(node, struct request, change);

		if (overlap(request, other))
			return other;
	}
	return NULL;
}

/* Of FOUND and those in LIST, in the order of arrival, that REQUEST overlaps and that came before it: the latest. */
static struct request *latest_in(struct list_head *list, const struct request *request, struct request *found)
{
	struct list_head *node;

	/* One that looks again is itself one of the earliest, as a rule... */
	if (!list_empty(&request->wait)) {
		list_for_each(node, list) {
			struct request *other = container_of(node, struct request, change);

			if (other->arrival >= request->arrival)
				break;
			if (overlap(request, other) && (!found || other->arrival > found->arrival))
				found = other;
		}
		return found;
	}
	/* ...and a new one comes after all of them. */
	for (node = list->prev; node != list; node = node->prev) {
		struct request *other = container_of(node, struct request, change);

		if (found && other->arrival < found->arrival)
			break;
		if (overlap(request, other))
			return other;
	}
	return found;
}

/* What REQUEST overlaps in TABLE, as FIND_IN goes on from one list to the next. */
static inline struct request *find(struct overlap_table *table, const struct request *request,
				   struct request *(*find_in)(struct list_head *list, const struct request *request,
							      struct request *found))
{
	uint64_t last = last_byte(request);
	struct request *found = NULL;

	if (is_long(request)) {
		for (unsigned i = 0; i < OVERLAP_BUCKETS; i++)
			found = find_in(&table->bucket[i], request, found);
		return found;
	}
	for (unsigned level = 0; level < OVERLAP_LEVELS; level++) {
		uint64_t granule = request->driver.offset >> granule_bits[level];

		if (!table->count[level])
			continue;
		for (granule -= granule > 0; granule <= last >> granule_bits[level]; granule++)
			found = find_in(bucket_of(table, level, granule), request, found);
	}
	return found;
}

/* The latest of the waiting ones that REQUEST has to wait for; it came after all of them, or is one itself. */
static struct request *find_waiting(struct overlaps *overlaps, const struct request *request)
{
	struct list_head *node = list_empty(&request->wait) ? overlaps->waiting.prev : request->wait.prev;

	/* As nearly always. */
	if (list_empty(&overlaps->waiting))
		return NULL;
	if (!is_long(request))
		return find(&overlaps->blocked, request, latest_in);
	/* It overlaps one soon, as a rule. */
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

	/* What comes from now on and overlaps the blocker overlaps REQUEST, too. */
	if (blocker && covers(request, blocker))
		table_remove(&overlaps->blocked, blocker);
	if (!blocker)
		blocker = find(&overlaps->entered, request, any_in);
	if (!blocker) {
		table_remove(&overlaps->blocked, request);
		list_del_init(&request->wait);
		table_add(&overlaps->entered, request);
		return true;
	}
	if (list_empty(&request->wait)) {
		request->arrival = overlaps->arrivals++;
		list_add_tail(&request->wait, &overlaps->waiting);
		table_add(&overlaps->blocked, request);
	}
	list_add_tail(&request->link, &blocker->waiters);
	return false;
}

void overlap_leave(struct overlaps *overlaps, struct request *request)
{
	table_remove(&overlaps->entered, request);
}

void overlap_take_waiting(struct overlaps *overlaps, const void *owner, struct list_head *taken)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &overlaps->waiting) {
		struct request *request = container_of(node, struct request, wait);

		if (request->owner != owner)
			continue;
		table_remove(&overlaps->blocked, request);
		list_del_init(&request->wait);
		list_del_init(&request->link);
		list_add_tail(&request->link, taken);
	}
	/* Whom one of them covered is to be found again, in its place among the others. */
	list_for_each(node, &overlaps->waiting) {
		struct request *request = container_of(node, struct request, wait);

		table_remove(&overlaps->blocked, request);
		if (!is_covered(request))
			table_add(&overlaps->blocked, request);
	}
}
