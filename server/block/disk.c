/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/access.h"
#include "server/block/args.h"
#include "server/block/block.h"
#include "server/block/device.h"
#include "server/block/driver.h"
#include "server/block/export.h"
#include "server/block/partitions.h"
#include "server/block/registry.h"
#include "server/block/request.h"

/* How long the users of a disk whose driver goes are waited for at a time. */
#define REMOVE_NS (UINT64_C(10) * 1000000000)
#define WAIT_STEP_NS 50000000u

static struct list_head disks = LIST_HEAD_INIT(disks);
static unsigned next_home;
static unsigned reactor_count = 1;
static struct pool *control_pool;
static disk_call *call_reactors;
static disk_stop_timers *stop_timers;
static atomic_bool any_failed;

void disk_init(unsigned reactors, struct pool *control, disk_call *call, disk_stop_timers *stop)
{
	reactor_count = reactors;
	control_pool = control;
	call_reactors = call;
	stop_timers = stop;
}

struct list_head *disk_list(void)
{
	return &disks;
}

bool disk_name_is_other(const char *name, const struct disk *disk)
{
	struct list_head *node;

	list_for_each(node, &disks) {
		const struct disk *other = container_of(node, struct disk, link);

		if (other != disk && strcmp(other->name, name) == 0)
			return true;
	}
	return false;
}

struct disk *disk_find(const char *name)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->state == DISK_LIVE && strcmp(disk->name, name) == 0)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

static void disk_free(struct disk *disk)
{
	unsigned count;

	open_destroy(&disk->open);
	pthread_mutex_destroy(&disk->calls);
	args_free(disk->args);
	access_put(disk->access);
	driver_put(disk->driver);
	disk_put(disk->whole);
	for (unsigned i = 0; disk->queues && i < reactor_count; i++)
		queue_destroy(&disk->queues[i]);
	free(disk->queues);
	limits_destroy(&disk->limits);
	count = marks_destroy(&disk->marks);
	if (count)
		disk_log(disk, NOTICE, "gone with it: %u mark%s", count, count == 1 ? "" : "s");
	free(disk->io);
	free(disk->description);
	free(disk->name);
	free(disk);
}

struct disk *disk_get(struct disk *disk)
{
	atomic_fetch_add(&disk->references, 1);
	return disk;
}

void disk_put(struct disk *disk)
{
	if (disk && atomic_fetch_sub(&disk->references, 1) == 1)
		disk_free(disk);
}

static struct disk *disk_new(const struct platter_driver *driver, const char *description)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->references = 1;
	disk->added_ns = clock_ns();
	disk->driver = driver_ref(driver);
	pthread_mutex_init(&disk->calls, NULL);
	open_init(&disk->open, control_pool);
	limits_init(&disk->limits);
	marks_init(&disk->marks);
	list_init(&disk->link);
	disk->description = strdup(description ? description : driver->description);
	disk->queues = calloc(reactor_count, sizeof(*disk->queues));
	disk->io = calloc(reactor_count, sizeof(*disk->io));
	if (!disk->description || !disk->queues || !disk->io) {
		disk_put(disk);
		return NULL;
	}
	for (unsigned i = 0; i < reactor_count; i++) {
		queue_init(&disk->queues[i], disk);
		list_init(&disk->io[i].timers);
		list_init(&disk->io[i].writes_waiting);
		list_init(&disk->io[i].writes_running);
		list_init(&disk->io[i].commit);
		list_init(&disk->io[i].waiting);
	}
	return disk;
}

static bool name_is_taken(const char *name)
{
	return disk_name_is_other(name, NULL) || export_exists(name);
}

/* Marks NUMBER as taken in a table of COUNT. */
static void take_number(bool *taken, size_t count, unsigned long number)
{
	if (number < count)
		taken[number] = true;
}

/* If NAME is PREFIX and a number, as a number is written. */
static void take_name(bool *taken, size_t count, const char *name, const char *prefix)
{
	size_t length = strlen(prefix);
	const char *digits = name + length;

	if (strncmp(name, prefix, length) == 0 && *digits && digits[strspn(digits, "0123456789")] == '\0' &&
	    (*digits != '0' || !digits[1]) && strlen(digits) < 10)
		take_number(taken, count, strtoul(digits, NULL, 10));
}

static unsigned first_free(const bool *taken)
{
	unsigned number = 0;

	while (taken[number])
		number++;
	return number;
}

/* With the registry's lock held: one look at every disk and export. */
static int choose_numbers(struct disk *disk, unsigned *number)
{
	const char *prefix = disk->driver->name;
	struct list_head *node;
	size_t count = 1;
	bool *names, *minors;

	list_for_each(node, &disks)
		count++;
	list_for_each(node, export_list())
		count++;
	names = calloc(2 * count, sizeof(*names));
	if (!names)
		return -ENOMEM;
	minors = names + count;
	list_for_each(node, &disks) {
		const struct disk *other = container_of(node, struct disk, link);

		take_name(names, count, other->name, prefix);
		if (other->major == disk->major)
			take_number(minors, count, other->minor);
	}
	list_for_each(node, export_list())
		take_name(names, count, container_of(node, struct export, link)->name, prefix);
	*number = first_free(names);
	disk->minor = first_free(minors);
	free(names);
	return 0;
}

/* Takes NAME, or the driver's and the first free number, and the first free minor; nobody finds the disk yet. */
static int reserve(struct disk *disk, const char *name, struct platter_error *error)
{
	unsigned number = 0;
	int result;

	registry_lock();
	disk->major = disk->whole ? disk->whole->major : device_major(disk->driver->name);
	result = choose_numbers(disk, &number);
	if (result == 0 && !name && asprintf(&disk->name, "%s%u", disk->driver->name, number) < 0)
		disk->name = NULL;
	if (name)
		disk->name = strdup(name);
	disk->driver_side.name = disk->name;
	if (result < 0 || !disk->name)
		result = platter_fail(error, ENOMEM, "no memory");
	else if (name_is_taken(disk->name))
		result = platter_fail(error, EEXIST, "there is already an export of this name");
	else if (disk->minor >= DEVICE_MINORS)
		result = platter_fail(error, ENOSPC, "%s has no free minor number", disk->driver->name);
	else
		list_add_tail(&disk->link, &disks);
	registry_unlock();
	return result;
}

static void set_state(struct disk *disk, enum disk_state state)
{
	registry_lock();
	disk->state = state;
	registry_unlock();
}

/* Nobody finds it any more. */
static void take_out(struct disk *disk)
{
	registry_lock();
	list_del_init(&disk->link);
	registry_unlock();
}

/* Takes DISK, which is complete but for its name. */
static int add(struct disk **ret, struct disk *disk, const char *name, struct platter_error *error)
{
	int result = reserve(disk, name, error);

	if (result == 0)
		result = driver_result(disk->driver->probe(&disk->driver_side, disk->args ? args_driver_side(disk->args) : NULL,
							   disk->read_only, error),
				       error);
	if (result < 0) {
		take_out(disk);
		disk_put(disk);
		return result;
	}
	*ret = disk_get(disk);
	registry_lock();
	disk->home = disk->whole ? disk->whole->home : next_home++ % reactor_count;
	disk->state = DISK_LIVE;
	registry_unlock();
	return 0;
}

int disk_add(struct disk **ret, const struct platter_driver *driver, const char *name, const char *description,
	     struct args *args, bool read_only, struct platter_error *error)
{
	struct disk *disk = disk_new(driver, description);

	if (!disk) {
		args_free(args);
		return platter_fail(error, ENOMEM, "no memory");
	}
	disk->args = args;
	disk->read_only = read_only;
	return add(ret, disk, name, error);
}

int disk_add_partition(struct disk **ret, struct disk *whole, const struct platter_driver *driver, const char *name,
		       const char *description, uint64_t start, uint64_t length, struct platter_error *error)
{
	struct disk *disk = disk_new(driver, description);

	if (!disk)
		return platter_fail(error, ENOMEM, "no memory");
	disk->whole = disk_get(whole);
	disk->start = start;
	disk->length = length;
	disk->capacity = length;
	disk->read_only = whole->read_only;
	return add(ret, disk, name, error);
}

bool disk_partition_is_used(const struct disk *whole)
{
	struct list_head *node;

	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->whole == whole && disk_users(disk))
			return true;
	}
	return false;
}

struct disk *disk_partition(const struct disk *whole)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->whole == whole && disk->state == DISK_LIVE && !found)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

void disk_submit(struct disk *disk, struct block *block, struct request *request)
{
	/* A FLUSH has no range. */
	if (disk->whole && request->driver.op != PLATTER_OP_FLUSH)
		request->driver.offset += disk->start;
	queue_add(&disk_whole(disk)->queues[block->index], request);
}

void disk_on_home(struct disk *disk, void (*fn)(struct block *block, void *argument), void *argument)
{
	call_reactors(disk_whole(disk)->home, fn, argument);
}

/* Other names than its own keep a disk, unless it has to go. */
static int start_removing(struct disk *disk, bool force, struct platter_error *error)
{
	const struct export *other;
	int result = 0;

	registry_lock();
	other = force ? NULL : export_other(disk, disk->name);
	if (disk->state != DISK_LIVE)
		result = platter_fail(error, ENODEV, "%s is being removed already", disk->name);
	else if (other)
		result = platter_fail(error, EBUSY, "%s is exported as %.64s, too: remove that first", disk->name, other->name);
	else
		disk->state = DISK_REMOVING;
	registry_unlock();
	return result;
}

/* What a driver has left running. */
struct leftovers {
	struct disk *disk;
	unsigned timers, operations;
};

static void forget(struct block *block, void *argument)
{
	struct leftovers *left = argument;
	struct disk_io *io = &left->disk->io[block->index];

	left->timers += stop_timers(io);
	left->operations += io->operations;
	/* A reactor may still mean to look at it this turn, for nothing unless writes wait. */
	list_del_init(&left->disk->queues[block->index].dirty);
	list_del_init(&left->disk->queues[block->index].plugged);
	if (!io->operations)
		list_del_init(&io->commit);
}

/* Nobody uses DISK: once its driver has nothing running on the reactors either, none of its code will run there. */
static void forget_on_reactors(struct disk *disk)
{
	struct leftovers left = { .disk = disk };
	bool told = false;

	for (;;) {
		call_reactors(DISK_EVERY_REACTOR, forget, &left);
		if (!left.timers && !left.operations)
			return;
		if (!told)
			disk_log(disk, WARNING, "removed while its driver still has timers (%u), which are stopped, or "
				 "operations (%u), which are waited for", left.timers, left.operations);
		told = true;
		left = (struct leftovers){ .disk = disk };
		registry_lock();
		registry_wait(clock_ns() + WAIT_STEP_NS);
		registry_unlock();
	}
}

int disk_shut_begin(struct disk *disk, bool force, const struct patience *patience, struct platter_error *error)
{
	int result = start_removing(disk, force, error);

	if (result < 0)
		return result;
	result = open_shut_begin(disk, patience, error);
	if (result < 0)
		set_state(disk, DISK_LIVE);
	return result;
}

int disk_shut_end(struct disk *disk, const struct patience *patience, struct platter_error *error)
{
	int result = open_shut_end(disk, patience, error);

	if (result < 0)
		set_state(disk, DISK_LIVE);
	return result;
}

static int shut(struct disk *disk, bool force, const struct patience *patience, struct platter_error *error)
{
	int result = disk_shut_begin(disk, force, patience, error);

	return result < 0 ? result : disk_shut_end(disk, patience, error);
}

void disk_unshut(struct disk *disk)
{
	open_unshut(disk);
	set_state(disk, DISK_LIVE);
}

void disk_drop(struct disk *disk)
{
	if (disk_failure(disk))
		disk_log(disk, WARNING, "removed with the memory of its failure to make data durable");
	partitions_remove(disk);
	export_remove_disk(disk);
	forget_on_reactors(disk);
	pthread_mutex_lock(&disk->calls);
	disk->removed = true;
	if (disk->driver->remove)
		disk->driver->remove(&disk->driver_side);
	pthread_mutex_unlock(&disk->calls);
	take_out(disk);
	disk_put(disk);
}

int disk_remove(struct disk *disk, const struct patience *patience, struct platter_error *error)
{
	int result = shut(disk, false, patience, error);

	if (result == 0)
		disk_drop(disk);
	return result;
}

void disk_force_remove(struct disk *disk)
{
	struct platter_error error = { "" };
	int result;

	do {
		result = shut(disk, true, &(struct patience){ .until = clock_ns() + REMOVE_NS }, &error);
		if (result == -EBUSY)
			disk_log(disk, ERROR, "has to be removed: %s; still waiting", error.text);
	} while (result == -EBUSY);
	if (result == 0)
		disk_drop(disk);
}

/* The first disk of DRIVER, a reference. */
static struct disk *disk_of_driver(const struct platter_driver *driver)
{
	struct disk *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &disks) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->driver == driver && !found)
			found = disk_get(disk);
	}
	registry_unlock();
	return found;
}

/* One that somebody else is just adding or removing. */
static void wait_until_gone(struct disk *disk)
{
	registry_lock();
	while (!list_empty(&disk->link) && disk->state != DISK_LIVE)
		registry_wait(clock_ns() + WAIT_STEP_NS);
	registry_unlock();
}

void disk_remove_driver(const struct platter_driver *driver)
{
	struct disk *disk;

	while ((disk = disk_of_driver(driver))) {
		disk_log(disk, WARNING, "removed with its driver, %s", driver->name);
		disk_force_remove(disk);
		wait_until_gone(disk);
		disk_put(disk);
	}
}

static struct disk *pop(void)
{
	struct list_head *node;

	registry_lock();
	node = list_pop(&disks);
	registry_unlock();
	return node ? container_of(node, struct disk, link) : NULL;
}

void disk_remove_all(void)
{
	struct disk *disk;

	while ((disk = pop())) {
		if (disk->driver->remove)
			disk->driver->remove(&disk->driver_side);
		disk_put(disk);
	}
}

bool disk_any_operation(unsigned index)
{
	struct list_head *node;
	bool found = false;

	registry_lock();
	list_for_each(node, &disks)
		found |= container_of(node, struct disk, link)->io[index].operations > 0;
	registry_unlock();
	return found;
}

bool disk_any_thread(const struct disk *disk)
{
	if (disk->whole)
		disk = disk->whole;
	/* Blocks that are read and written again wait for each other in one queue. */
	if (disk->tied || (disk->emulates && !disk->read_only && disk->geometry.min_block > 1))
		return false;
	return disk->read_only || (disk->geometry.capabilities & PLATTER_DISK_ANY_THREAD);
}

void disk_failed(struct disk *disk, int error)
{
	atomic_store(&any_failed, true);
	if (atomic_exchange(&disk->failure, error) == 0)
		disk_log(disk, ERROR, "making data durable failed: %s; every flush fails from now on, because earlier "
			 "writes may be lost", strerror(-error));
}

int disk_failure(const struct disk *disk)
{
	return atomic_load_explicit(&disk->failure, memory_order_relaxed);
}

bool disk_clear_failure(struct disk *disk)
{
	int error = atomic_exchange(&disk->failure, 0);

	if (error)
		disk_log(disk, WARNING, "its failure to make data durable is forgotten: what was lost then is lost");
	return error != 0;
}

bool disk_any_failed(void)
{
	return atomic_load(&any_failed);
}

void platter_disk_set_data(struct platter_disk *disk, void *data)
{
	disk->data = data;
}

void *platter_disk_data(const struct platter_disk *disk)
{
	return disk->data;
}

void platter_disk_set_capacity(struct platter_disk *disk, uint64_t bytes)
{
	/* More than there can be is unknown. */
	atomic_store(&container_of(disk, struct disk, driver_side)->capacity, bytes <= INT64_MAX ? bytes : 0);
}

const char *platter_disk_name(const struct platter_disk *disk)
{
	return disk->name;
}
