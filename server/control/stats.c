/* SPDX-License-Identifier: BSD-2-Clause */
/* The method that gives disks' counters: each reactor adds up its own, and JSON is made of them here. */
#include "server/control/stats.h"

#include <errno.h>
#include <stdlib.h>

#include <platter/driver.h>

#include "common/clock.h"
#include "server/block/account.h"
#include "server/block/disk.h"
#include "server/block/registry.h"
#include "server/control/method.h"
#include "server/reactor.h"

/* Disks with what was counted of them. */
struct counted {
	struct disk *disk; /* a reference */
	struct queue_account sum;
};

struct collection {
	struct counted *counted;
	size_t count;
};

/* Without what is 0 up to the end. */
static json_t *time_json(const struct account_time *time)
{
	json_t *buckets = json_array();
	unsigned count = ACCOUNT_BUCKETS;

	while (count && time->buckets[count - 1] == 0)
		count--;
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(buckets, json_integer((json_int_t)time->buckets[i]));
	return json_pack("{s:I, s:o}", "ns", (json_int_t)time->ns, "log2_us", buckets);
}

json_t *stats_ops(const struct account *account, const uint64_t *submitted)
{
	json_t *ops = json_object();

	for (unsigned op = 0; op < ACCOUNT_OPS; op++) {
		json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "requests", (json_int_t)account->requests[op],
					   "merged", (json_int_t)account->merged[op], "bytes", (json_int_t)account->bytes[op],
					   "in_flight", (json_int_t)account->in_flight[op],
					   "errors", (json_int_t)account->errors[op],
					   "queue", time_json(&account->queued[op]),
					   "service", time_json(&account->serviced[op]));

		if (submitted)
			json_object_set_new(object, "submitted", json_integer((json_int_t)submitted[op]));
		json_object_set_new(ops, account_op_name(op), object);
	}
	return ops;
}

/* Whether DISK has a queue of its own, which can be seen. */
static bool is_counted(const struct disk *disk)
{
	return disk->state != DISK_ADDING && !disk->whole;
}

static int take_all(struct collection *collection)
{
	struct list_head *node;
	size_t count = 1;

	registry_lock();
	list_for_each(node, disk_list())
		count++;
	collection->counted = calloc(count, sizeof(*collection->counted));
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (collection->counted && is_counted(disk))
			collection->counted[collection->count++].disk = disk_get(disk);
	}
	registry_unlock();
	return collection->counted ? 0 : -ENOMEM;
}

/* The one named NAME; a partition's requests are in its whole disk's queue. */
static int take_one(struct call *call, struct collection *collection, const char *name)
{
	struct disk *disk = disk_find(name);

	if (!disk)
		return platter_fail(&call->error, ENOENT, "there is no disk named \"%s\"", name);
	collection->counted = calloc(1, sizeof(*collection->counted));
	if (collection->counted)
		collection->counted[collection->count++].disk = disk_get(disk_whole(disk));
	disk_put(disk);
	return collection->counted ? 0 : -ENOMEM;
}

/* On each reactor. */
static void add_up(struct reactor *reactor, void *argument)
{
	const struct collection *collection = argument;
	uint64_t now = clock_ns();

	for (size_t i = 0; i < collection->count; i++) {
		struct counted *counted = &collection->counted[i];
		struct queue_account *account = &counted->disk->queues[reactor->index].account;

		account_settle_queue(account, now);
		account_add(&counted->sum, account);
	}
}

static json_t *disk_json(const struct counted *counted)
{
	const struct disk *disk = counted->disk;
	int failure = disk_failure(disk);

	return json_pack("{s:s, s:I, s:I, s:s?, s:o}", "name", disk->name,
			 "age_us", (json_int_t)((clock_ns() - disk->added_ns) / 1000),
			 "busy_us", (json_int_t)(counted->sum.busy_ns / 1000),
			 "failure", failure ? method_code(-failure) : NULL,
			 "ops", stats_ops(&counted->sum.account, counted->sum.submitted));
}

static int stats(struct call *call)
{
	struct collection collection = { .count = 0 };
	const char *name = NULL;
	json_t *list;
	int result = method_params(call, "{s?s!}", "disk", &name);

	if (result == 0)
		result = name ? take_one(call, &collection, name) : take_all(&collection);
	if (result < 0)
		return result;
	reactors_call(add_up, &collection);
	list = json_array();
	for (size_t i = 0; i < collection.count; i++) {
		json_array_append_new(list, disk_json(&collection.counted[i]));
		disk_put(collection.counted[i].disk);
	}
	free(collection.counted);
	call->result = json_pack("{s:o}", "disks", list);
	return 0;
}

const struct method stats_methods[] = {
	{ .name = "stats", .run = stats },
	{ .name = NULL },
};
