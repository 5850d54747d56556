/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/queue.h"

#include <errno.h>

#include "common/log.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/extents.h"
#include "server/block/handle.h"
#include "server/block/merge.h"
#include "server/block/request.h"
#include "server/block/split.h"
#include "server/block/unaligned.h"

/* So many are enough: then nothing is waited for any more. */
#define PLUG_MOST 32

void queue_init(struct queue *queue, struct disk *disk)
{
	*queue = (struct queue){ .disk = disk, .elevator = &elevator_none };
	list_init(&queue->dirty);
	overlap_init(&queue->overlaps);
	flush_init(&queue->flush);
	software_queue_init(&queue->own);
	software_queues_init(&queue->software);
	list_init(&queue->plugged);
	list_init(&queue->resumed);
	run_init(&queue->runs);
	limits_refresh(queue);
}

void queue_destroy(struct queue *queue)
{
	elevator_destroy(queue);
}

static void mark_dirty(struct queue *queue)
{
	if (list_empty(&queue->dirty))
		list_add_tail(&queue->dirty, &queue->block->dirty);
}

static bool has_work(const struct queue *queue)
{
	return queue->waiting || (!list_empty(&queue->flush.waiting) && !queue->flush.running);
}

static bool is_change(const struct request *request)
{
	return request->driver.op == PLATTER_OP_WRITE || request->driver.op == PLATTER_OP_TRIM ||
	       request->driver.op == PLATTER_OP_ZEROES;
}

void queue_insert(struct queue *queue, struct request *request)
{
	queue->waiting++;
	request->mergeable = queue->elevator->following && merge_allowed(queue, request);
	queue->elevator->insert(queue, request);
}

void queue_take(struct queue *queue, struct request *request)
{
	queue->waiting--;
	queue->elevator->remove(queue, request);
}

void queue_resume(struct queue *queue, struct request *request)
{
	queue->waiting++;
	list_add_tail(&request->link, &queue->resumed);
}

/* Until a later turn: connections in turn there, too, a part each; of these nobody has any places. */
static void put_off(struct queue *queue, struct request *request)
{
	queue->waiting++;
	software_queue_insert(queue, request, SOFTWARE_LATER);
}

static struct request *first_put_off(struct queue *queue)
{
	return software_queue_next(queue, SOFTWARE_LATER, 1);
}

static void take_put_off(struct queue *queue, struct request *request)
{
	queue->waiting--;
	software_queue_remove(queue, request, SOFTWARE_LATER);
}

static struct request *pop_resumed(struct queue *queue)
{
	queue->waiting--;
	return container_of(list_pop(&queue->resumed), struct request, link);
}

/* REQUEST, which waited for the data of another, may go on, or waits for the next one. */
static void enter_again(struct queue *queue, struct request *request)
{
	if (!overlap_enter(&queue->overlaps, request))
		return;
	if (request->sync)
		flush_add(queue, request);
	else
		queue_insert(queue, request);
}

/* Aside: whoever asks does so for each request. */
__attribute__((cold, noinline)) static int distrust(const struct request *request, const char *why)
{
	disk_log_ratelimited(request->queue->disk, ERROR, "its driver has %s; that is an I/O error", why);
	return -EIO;
}

/* What a driver says isn't believed: a reply of another length would be the end of all that follow on its connection. */
static int check_answer(const struct request *request)
{
	if (request->driver.op == PLATTER_OP_READ && request_segments_length(request) != request->driver.length)
		return distrust(request, "answered a read with another length");
	if (request->driver.op == PLATTER_OP_EXTENTS && !request->extents->count)
		return distrust(request, "told no extent, or there was no memory");
	return 0;
}

void queue_finish(struct request *request, int error)
{
	struct queue *queue = request->queue;
	struct list_head *node;

	overlap_leave(&queue->overlaps, request);
	if (atomic_load(&queue->disk->marks.any) && is_change(request))
		marks_change(&queue->disk->marks, request->driver.offset, request->driver.length);
	while ((node = list_pop(&request->waiters)))
		enter_again(queue, container_of(node, struct request, link));
	request->error = error == 0 ? check_answer(request) : error;
	if (request->sparse && (request->error == 0 || request->progress))
		sparse_finish(request);
	account_end(&queue->account, request);
	software_queue_closed(request);
	request->done(request);
}

static void request_back(struct request *request);

/* A merged request is back.  When it failed, nobody knows which of its members did: each is tried by itself. */
static void merged_back(struct request *merged)
{
	bool again;
	struct request *member;

	/* One that was answered with another length is as good as failed, too. */
	if (merged->error == 0)
		merged->error = check_answer(merged);
	again = merged->error && !(merged->sync && flush_is_disk_failure(merged));

	while ((member = merge_take_member(merged))) {
		member->submitted = merged->submitted;
		if (again) {
			member->mergeable = false;
			queue_resume(member->queue, member);
		} else {
			member->error = merged->error;
			request_back(member);
		}
	}
	request_put(merged);
}

/* REQUEST, which is no part of another, has been tried or never will be. */
static void request_back(struct request *request)
{
	if (request->run) {
		run_took(request->queue, request);
		run_back(request->queue, request);
	}
	if (!list_empty(&request->members))
		merged_back(request);
	else if (request->sync)
		flush_member_back(request->queue, request);
	else
		queue_finish(request, request->error);
}

/* REQUEST, which waited for its turn only, ends without having been tried. */
static void cancel(struct request *request)
{
	if (request->sync)
		flush_member_gone(request->queue);
	queue_finish(request, -ECANCELED);
}

static bool is_of(const struct request *request, const void *owner)
{
	struct list_head *node;

	if (list_empty(&request->members))
		return request->owner == owner;
	list_for_each(node, &request->members)
		if (container_of(node, struct request, link)->owner == owner)
			return true;
	return false;
}

/* Whether REQUEST has something of OWNER's, and hasn't started: a split request of which a part ran has. */
static bool has_unstarted(const struct request *request, const void *owner)
{
	return !request->issued && is_of(request, owner);
}

/* The first one of a run, in `resumed`, that has something of OWNER's. */
static struct request *find_released(const struct queue *queue, const void *owner)
{
	struct list_head *node;

	list_for_each(node, &queue->resumed) {
		struct request *request = container_of(node, struct request, link);

		if (request->run && has_unstarted(request, owner))
			return request;
	}
	return NULL;
}

/* REQUEST, which had left the elevator and waited elsewhere, waits there again; merged ones each by itself. */
static void take_back(struct queue *queue, struct request *request)
{
	struct request *member;

	if (request->run)
		run_back(queue, request);
	if (list_empty(&request->members)) {
		queue_insert(queue, request);
		return;
	}
	while ((member = merge_take_member(request)))
		queue_insert(queue, member);
	request_put(request);
}

static void take_back_waiting(struct queue *queue, const void *owner)
{
	struct request *request;

	while ((request = software_queue_find(queue, SOFTWARE_LATER, has_unstarted, owner))) {
		take_put_off(queue, request);
		take_back(queue, request);
	}
	while ((request = find_released(queue, owner))) {
		queue->waiting--;
		list_del_init(&request->link);
		take_back(queue, request);
	}
}

void queue_drop(struct queue *queue, const void *owner)
{
	struct list_head taken, *node;
	struct request *request;

	take_back_waiting(queue, owner);
	/* All of them first: who waited for one of them needn't look at the others. */
	list_init(&taken);
	overlap_take_waiting(&queue->overlaps, owner, &taken);
	while ((node = list_pop(&taken)))
		queue_finish(container_of(node, struct request, link), -ECANCELED);
	while ((request = flush_take_waiting(&queue->flush, owner)))
		queue_finish(request, -ECANCELED);
	while ((request = queue->elevator->find(queue, owner))) {
		queue_take(queue, request);
		cancel(request);
	}
	while ((request = run_take(&queue->runs, owner)))
		cancel(request);
	if (has_work(queue))
		mark_dirty(queue);
}

/* Zeroing and trimming may run inside submit: what the driver does of one request at a time is also all for a turn. */
static uint64_t turn_limit(const struct request *request)
{
	if (request->driver.op != PLATTER_OP_TRIM && request->driver.op != PLATTER_OP_ZEROES)
		return 0;
	return split_limit(request->driver.op, &request->queue->disk->geometry);
}

/*
 * Whether REQUEST has to wait for a later turn: all that one turn starts of
 * bulk requests, of which it has DONE so many bytes, is held to what one may do.
 */
static bool turn_is_full(const struct request *request, uint64_t *done)
{
	uint64_t most = turn_limit(request);
	uint64_t length;

	if (most == 0)
		return false;
	length = split_length(request, &request->queue->disk->geometry);
	if (*done && *done + length > most)
		return true;
	*done += length;
	return false;
}

/* The next of those that were put off; NULL: none, or none in this turn. */
static struct request *next_put_off(struct queue *queue, uint64_t *done)
{
	struct request *request = first_put_off(queue);

	if (!request || turn_is_full(request, done))
		return NULL;
	take_put_off(queue, request);
	return request;
}

/* What goes to the driver next; NULL: nothing, or nothing in this turn. */
static struct request *next(struct queue *queue, uint64_t *done)
{
	struct request *request;

	if (!list_empty(&queue->resumed))
		return pop_resumed(queue);
	request = next_put_off(queue, done);
	if (request)
		return request;
	while ((request = queue->elevator->next(queue))) {
		if (run_hold(queue, request)) {
			/* Those that it found there may be enough. */
			if (!list_empty(&queue->resumed))
				return pop_resumed(queue);
			continue;
		}
		queue_take(queue, request);
		request = merge_neighbours(queue, request);
		if (turn_limit(request) == 0 || (!first_put_off(queue) && !turn_is_full(request, done)))
			return request;
		put_off(queue, request);
	}
	return NULL;
}

/* For a driver that can't tell. */
static void answer_extents(struct request *request)
{
	extents_add(request->extents, request->driver.length, 0);
	platter_request_complete(&request->driver, 0);
}

/* A part, or a request that isn't split, goes to the driver. */
static void submit(struct request *request)
{
	struct queue *queue = request->queue;
	struct disk *disk = queue->disk;

	request->with_driver = true;
	request->watched = false;
	request->since = request->block->ticks;
	queue->in_driver++;
	software_queue_take_place(request);
	queue->account.submitted[request->driver.op]++;
	if (is_change(request)) {
		queue->changes_in_driver++;
		queue->change_bytes += request->driver.length;
	}
	list_add_tail(&request->link, &request->block->running);
	if (request->driver.op == PLATTER_OP_EXTENTS && !(disk->geometry.capabilities & PLATTER_DISK_EXTENTS))
		answer_extents(request);
	else if (disk->driver->ops->submit)
		disk->driver->ops->submit(&disk->driver_side, &request->driver);
	else
		handle_start(request);
}

/* Asks where a sparse READ finds data; false: it reads all. */
static bool look(struct request *request)
{
	struct request *part = sparse_look(request);

	request->sparse = part;
	request->submitted = request->block->now;
	if (part)
		submit(part);
	return part;
}

/* Reads a block of which a WRITE changes a part. */
static void read_edge(struct request *request)
{
	struct request *part = unaligned_edge(request);

	if (part) {
		submit(part);
		return;
	}
	request->error = -ENOMEM;
	request_back(request);
}

/* Hands the request, or its next part, to the driver. */
static void issue(struct request *request)
{
	const struct platter_geometry *geometry = &request->queue->disk->geometry;
	struct request *part;
	uint64_t length;

	if (request->sparse && !request->extents && look(request))
		return;
	if (request->edges) {
		read_edge(request);
		return;
	}
	length = split_length(request, geometry);
	if (request->sparse)
		length = sparse_length(request, length);
	if (request->issued == 0 && !request->sparse) {
		run_join(request->queue, request);
		merge_count(request->queue, request);
		request->submitted = request->block->now;
	}
	if (request->issued == 0 && length == request->driver.length) {
		submit(request);
		return;
	}
	part = split_part(request, length);
	if (!part) {
		request->error = -ENOMEM;
		request_back(request);
		return;
	}
	request->issued += length;
	submit(part);
}

/*
 * Whether REQUEST, which waits for nothing, goes to the driver now and not only at the end of the turn: where
 * nothing is merged or sorted there is nothing to gain by waiting for others.
 */
static bool is_direct(const struct queue *queue, const struct request *request)
{
	return queue->elevator == &elevator_none && !queue->waiting && queue->in_driver < queue->limits.queue_depth &&
	       !software_queue_is_full(queue, request->from, SOFTWARE_ALL, 1) && limits_are_fresh(queue) && turn_limit(request) == 0;
}

void queue_add(struct queue *queue, struct request *request)
{
	bool from_connection = request->from;

	queue->block = request->block;
	request->queue = queue;
	request->driver.disk = &queue->disk->driver_side;
	request->sync = flush_concerns(request);
	if (request->sync && is_change(request))
		request->driver.flags |= PLATTER_REQ_ONCE;
	request->sparse = request->sparse && sparse_wanted(queue, request);
	request->arrived = queue->block->now;
	if (!from_connection)
		request->from = &queue->own;
	software_queue_opened(queue, request);
	account_start(&queue->account, request);
	if (is_change(request) && !overlap_enter(&queue->overlaps, request))
		return;
	/* A driver that stands on this one doesn't expect its `done` before submitting has returned. */
	if (!request->sync && from_connection && is_direct(queue, request)) {
		issue(request);
		return;
	}
	if (request->sync)
		flush_add(queue, request);
	else
		queue_insert(queue, request);
	mark_dirty(queue);
}

static void run(struct queue *queue, uint64_t *done)
{
	struct request *request;

	while (queue->in_driver < queue->limits.queue_depth && (request = next(queue, done)))
		issue(request);
}

void queue_unplug(struct queue *queue)
{
	list_del_init(&queue->plugged);
	mark_dirty(queue);
}

/*
 * Whether QUEUE still waits for more to merge.  Only one that has nothing better to do does: its driver is idle,
 * nobody waits for a sync, and what is there is little.
 */
static bool is_plugged(struct queue *queue)
{
	bool plug = queue->limits.plug_us && queue->elevator->following && queue->in_driver == 0 && queue->waiting &&
		    queue->waiting < PLUG_MOST && list_empty(&queue->resumed) && list_empty(&queue->flush.waiting);

	if (plug && !queue->unplug_at) {
		queue->unplug_at = queue->now + (uint64_t)queue->limits.plug_us * 1000;
		list_add_tail(&queue->plugged, &queue->block->plugged);
		block_plug(queue->block, queue->unplug_at);
	}
	if (plug && queue->now < queue->unplug_at)
		return true;
	queue->unplug_at = 0;
	list_del_init(&queue->plugged);
	return false;
}

void queue_dispatch(struct queue *queue)
{
	uint64_t done = 0;

	limits_refresh(queue);
	queue->now = queue->block->now;
	software_queues_count(queue);
	if (is_plugged(queue))
		return;
	queue->dispatching = true;
	do {
		run(queue, &done);
	} while (flush_start(queue));
	queue->dispatching = false;
	/* What was too much for one turn. */
	if (first_put_off(queue) && queue->in_driver < queue->limits.queue_depth)
		mark_dirty(queue);
}

/* PART, which had to come before WHOLE, is back: whether WHOLE can go on. */
static int prepared(struct request *whole, struct request *part)
{
	int error = part->error;

	if (part->driver.op == PLATTER_OP_EXTENTS) {
		sparse_looked(whole, part);
		return 0;
	}
	if (error == 0)
		error = check_answer(part);
	if (error == 0)
		unaligned_edge_read(whole, part);
	whole->unread = error;
	return error;
}

/* A part is back: its whole goes on, or is complete. */
static void part_back(struct request *part)
{
	struct request *whole = part->whole;
	int error = part->error;

	if (part->driver.op != whole->driver.op) {
		error = prepared(whole, part);
	} else {
		if (error)
			whole->progress = part->driver.offset - whole->driver.offset + part->progress;
		if (whole->sparse)
			sparse_skip(whole);
	}
	request_put(part);
	if (error == 0 && whole->issued < whole->driver.length) {
		if (turn_limit(whole))
			put_off(whole->queue, whole);
		else
			queue_resume(whole->queue, whole);
		return;
	}
	whole->error = error;
	request_back(whole);
}

void queue_complete(struct request *request)
{
	struct queue *queue = request->queue;

	list_del_init(&request->link);
	queue->in_driver--;
	software_queue_give_back(queue, request);
	if (is_change(request)) {
		queue->changes_in_driver--;
		queue->change_bytes -= request->driver.length;
	}
	if (request->whole)
		part_back(request);
	else
		request_back(request);
	if (!queue->dispatching && has_work(queue))
		mark_dirty(queue);
}
