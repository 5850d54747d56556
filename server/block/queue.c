/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/queue.h"

#include <errno.h>

#include "common/log.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/handle.h"
#include "server/block/request.h"
#include "server/block/split.h"

void queue_init(struct queue *queue, struct disk *disk)
{
	*queue = (struct queue){ .disk = disk };
	list_init(&queue->dirty);
	list_init(&queue->pending);
	list_init(&queue->changes);
	list_init(&queue->later);
	list_init(&queue->sync_waiting);
	list_init(&queue->sync_flushes);
	list_init(&queue->sync_done);
	list_init(&queue->to_handle);
}

static void queue_mark_dirty(struct queue *queue, struct block *block)
{
	if (list_empty(&queue->dirty))
		list_add_tail(&queue->dirty, &block->dirty);
}

void queue_add(struct queue *queue, struct request *request)
{
	request->queue = queue;
	request->driver.disk = &queue->disk->driver_side;
	list_add_tail(&request->link, &queue->pending);
	queue_mark_dirty(queue, request->block);
}

static bool is_sync(const struct request *request)
{
	return request->driver.op == PLATTER_OP_FLUSH || (request->driver.flags & PLATTER_REQ_FUA);
}

static bool is_change(const struct request *request)
{
	return request->driver.op == PLATTER_OP_WRITE || request->driver.op == PLATTER_OP_TRIM ||
	       request->driver.op == PLATTER_OP_ZEROES;
}

static bool overlap(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset + b->driver.length && b->driver.offset < a->driver.offset + a->driver.length;
}

/* The latest of the earlier changes of the same data, which REQUEST, itself in the list, has to wait for. */
static struct request *find_blocker(const struct queue *queue, const struct request *request)
{
	for (struct list_head *node = request->change.prev; node != &queue->changes; node = node->prev) {
		struct request *earlier = container_of(node, struct request, change);

		if (overlap(request, earlier))
			return earlier;
	}
	return NULL;
}

/* Zeroing and trimming may run inside submit. */
static bool is_bulk(const struct request *request)
{
	return request->driver.op == PLATTER_OP_TRIM || request->driver.op == PLATTER_OP_ZEROES;
}

/*
 * Whether REQUEST has to wait for a later turn: all that one turn starts of
 * bulk requests, of which it has DONE so many bytes, is held to what one may do.
 */
static bool turn_is_full(const struct request *request, uint64_t *done)
{
	const struct platter_geometry *geometry = &request->queue->disk->geometry;
	uint64_t most = is_bulk(request) ? split_limit(request->driver.op, geometry) : 0;
	uint64_t length = split_length(request, geometry);

	if (most == 0)
		return false;
	if (*done && *done + length > most)
		return true;
	*done += length;
	return false;
}

static void finish(struct request *request, int error)
{
	struct queue *queue = request->queue;
	struct list_head *node;

	list_del_init(&request->change);
	while ((node = list_pop(&request->waiters))) {
		container_of(node, struct request, link)->waiting = false;
		list_add_tail(node, &queue->pending);
		queue_mark_dirty(queue, request->block);
	}
	/* A reply of another length would be the end of all that follow on its connection. */
	if (error == 0 && request->driver.op == PLATTER_OP_READ && request_segments_length(request) != request->driver.length) {
		log_ratelimited(ERROR, "%s: its driver has answered a read with another length; that is an I/O error", queue->disk->name);
		error = -EIO;
	}
	request->error = error;
	request->done(request);
}

static void drop_from(struct list_head *list, const void *owner)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, list) {
		struct request *request = container_of(node, struct request, link);

		/* A split request of which a part ran has started. */
		if (request->owner != owner || request->issued)
			continue;
		list_del_init(node);
		finish(request, -ECANCELED);
	}
}

void queue_drop(struct queue *queue, const void *owner)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &queue->changes) {
		struct request *request = container_of(node, struct request, change);

		if (!request->waiting || request->owner != owner)
			continue;
		list_del_init(&request->link);
		finish(request, -ECANCELED);
	}
	drop_from(&queue->pending, owner);
	drop_from(&queue->later, owner);
	drop_from(&queue->sync_waiting, owner);
}

/* A part, or a request that isn't split, goes to the driver. */
static void submit(struct request *request)
{
	struct disk *disk = request->queue->disk;

	request->with_driver = true;
	request->watched = false;
	request->since = request->block->ticks;
	if (disk->driver->ops->submit) {
		list_add_tail(&request->link, &request->block->running);
		disk->driver->ops->submit(&disk->driver_side, &request->driver);
	} else {
		handle_start(request);
	}
}

/* Hands the request, or its next part, to the driver. */
static void issue(struct request *request)
{
	const struct platter_geometry *geometry = &request->queue->disk->geometry;
	uint64_t length = split_length(request, geometry);
	struct request *part;

	if (request->issued == 0 && length == request->driver.length) {
		submit(request);
		return;
	}
	part = split_part(request, length);
	if (!part) {
		request->error = -ENOMEM;
		queue_complete(request);
		return;
	}
	request->issued += length;
	submit(part);
}

/*
 * Whether the end of a FLUSH or FUA request means that the disk may have lost
 * what it acknowledged.  A FUA request that found no space or was refused lost
 * nothing: it was never there.
 */
static bool is_disk_failure(const struct request *request)
{
	if (request->driver.op == PLATTER_OP_FLUSH)
		return request->error != 0;
	switch (-request->error) {
	case 0:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EINVAL:
	case ENOMEM:
	case ENOTSUP:
	case EPERM:
	case EACCES:
	case EROFS:
		return false;
	default:
		return true;
	}
}

static void sync_group_end(struct queue *queue, struct block *block)
{
	struct list_head members;
	struct list_head *node;
	int group_error = queue->sync_error;

	list_init(&members);
	list_splice_tail_init(&queue->sync_done, &members);
	list_splice_tail_init(&queue->sync_flushes, &members);
	queue->sync_error = 0;
	if (!list_empty(&queue->sync_waiting))
		queue_mark_dirty(queue, block);
	while ((node = list_pop(&members))) {
		struct request *request = container_of(node, struct request, link);

		finish(request, group_error ? -EIO : request->error);
	}
}

static void sync_member_back(struct request *request)
{
	struct queue *queue = request->queue;

	if (is_disk_failure(request)) {
		queue->sync_error = request->error;
		disk_failed(queue->disk, request->error);
	}
	list_add_tail(&request->link, &queue->sync_done);
	if (--queue->sync_running == 0)
		sync_group_end(queue, request->block);
}

/* Starts the next group with everything that waits; of bulk requests as much as is for one turn, beside that of `later`. */
static void sync_group_start(struct queue *queue)
{
	struct list_head members;
	struct list_head *node;
	bool flushing = false;
	int sticky = disk_failure(queue->disk);
	uint64_t done = 0;

	if (queue->sync_running || list_empty(&queue->sync_waiting))
		return;
	list_init(&members);
	list_splice_tail_init(&queue->sync_waiting, &members);
	/* Counts as a member, so that the group can't end before all have started. */
	queue->sync_running = 1;
	while ((node = list_pop(&members))) {
		struct request *request = container_of(node, struct request, link);

		if (sticky) {
			finish(request, -EIO);
		} else if (turn_is_full(request, &done)) {
			list_add_tail(node, &queue->sync_waiting);
			queue_mark_dirty(queue, request->block);
		} else if (request->driver.op == PLATTER_OP_FLUSH && flushing) {
			request->error = 0;
			list_add_tail(node, &queue->sync_flushes);
		} else {
			flushing |= request->driver.op == PLATTER_OP_FLUSH;
			queue->sync_running++;
			issue(request);
		}
	}
	if (--queue->sync_running == 0 && !list_empty(&queue->sync_done))
		sync_group_end(queue, list_first_entry(&queue->sync_done, struct request, link)->block);
}

/* REQUEST, or its next part, which waits for no other, goes on in this turn or a later one. */
static void proceed(struct request *request, uint64_t *done)
{
	struct queue *queue = request->queue;

	if (!request->issued && is_sync(request)) {
		list_add_tail(&request->link, &queue->sync_waiting);
	} else if (is_bulk(request) && (!list_empty(&queue->later) || turn_is_full(request, done))) {
		list_add_tail(&request->link, &queue->later);
		queue_mark_dirty(queue, request->block);
	} else {
		issue(request);
	}
}

/* What was left for a later turn, as far as this one goes. */
static void dispatch_later(struct queue *queue, uint64_t *done)
{
	while (!list_empty(&queue->later)) {
		struct request *request = list_first_entry(&queue->later, struct request, link);

		if (turn_is_full(request, done)) {
			queue_mark_dirty(queue, request->block);
			return;
		}
		list_del_init(&request->link);
		issue(request);
	}
}

void queue_dispatch(struct queue *queue)
{
	struct list_head now;
	struct list_head *node;
	uint64_t done = 0;

	dispatch_later(queue, &done);
	list_init(&now);
	list_splice_tail_init(&queue->pending, &now);
	while ((node = list_pop(&now))) {
		struct request *request = container_of(node, struct request, link);
		struct request *blocker = NULL;

		if (!request->issued && is_change(request)) {
			if (list_empty(&request->change))
				list_add_tail(&request->change, &queue->changes);
			blocker = find_blocker(queue, request);
		}
		if (blocker) {
			request->waiting = true;
			list_add_tail(node, &blocker->waiters);
		} else {
			proceed(request, &done);
		}
	}
	sync_group_start(queue);
}

/* A part is back: its whole goes on with the next turn, or is complete. */
static void part_back(struct request *part)
{
	struct request *whole = part->whole;
	int error = part->error;

	request_put(part);
	if (error == 0 && whole->issued < whole->driver.length) {
		list_add_tail(&whole->link, &whole->queue->pending);
		queue_mark_dirty(whole->queue, whole->block);
		return;
	}
	whole->error = error;
	queue_complete(whole);
}

void queue_complete(struct request *request)
{
	list_del_init(&request->link);
	if (request->handled) {
		request->handled = false;
		handle_back(request);
	}
	if (request->whole)
		part_back(request);
	else if (is_sync(request))
		sync_member_back(request);
	else
		finish(request, request->error);
}

void platter_request_complete(struct platter_request *driver_side, int error)
{
	struct request *request = request_of(driver_side);
	struct block *home = request->block;
	struct request *head;

	if (!__atomic_load_n(&request->with_driver, __ATOMIC_RELAXED)) {
		log_ratelimited(ERROR, "a driver has completed a request twice, or one that it hasn't got; that is ignored");
		return;
	}
	__atomic_store_n(&request->with_driver, false, __ATOMIC_RELAXED);
	request->error = error > 0 ? -error : error;
	if (home == block_self()) {
		queue_complete(request);
		return;
	}
	head = atomic_load_explicit(&home->remote, memory_order_relaxed);
	do {
		request->next = head;
	} while (!atomic_compare_exchange_weak(&home->remote, &head, request));
	if (!head)
		home->wake(home);
}

int platter_request_lend(struct platter_request *driver_side, const void *memory, size_t length)
{
	struct request *request = request_of(driver_side);

	if (driver_side->iovcnt == request->capacity)
		return -ENOBUFS;
	driver_side->iov[driver_side->iovcnt++] = (struct iovec){ (void *)(uintptr_t)memory, length };
	return 0;
}
