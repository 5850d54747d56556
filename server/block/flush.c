/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/flush.h"

#include <errno.h>

#include "server/block/disk.h"
#include "server/block/queue.h"
#include "server/block/request.h"

void flush_init(struct flush *flush)
{
	*flush = (struct flush){ .sync = NULL };
	list_init(&flush->waiting);
	list_init(&flush->sharing);
	list_init(&flush->done);
}

bool flush_concerns(const struct request *request)
{
	return request->driver.op == PLATTER_OP_FLUSH || (request->driver.flags & PLATTER_REQ_FUA);
}

void flush_add(struct queue *queue, struct request *request)
{
	list_add_tail(&request->link, &queue->flush.waiting);
}

struct request *flush_take_waiting(struct flush *flush, const void *owner)
{
	struct list_head *node;

	list_for_each(node, &flush->waiting) {
		struct request *request = container_of(node, struct request, link);

		if (request->owner != owner)
			continue;
		list_del_init(node);
		return request;
	}
	return NULL;
}

/* A FUA request that found no space, was refused or never reached the disk lost nothing: it was never there. */
bool flush_is_disk_failure(const struct request *request)
{
	if (request->driver.op == PLATTER_OP_FLUSH)
		return request->error != 0;
	if (request->unread)
		return false;
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
	case ECANCELED:
		return false;
	default:
		return true;
	}
}

/* The group's own, when no client's FLUSH is there to sync behind its changes. */
static struct request *own_sync(struct queue *queue, struct block *block)
{
	struct request *sync = request_get(block);

	if (!sync)
		return NULL;
	sync->done = NULL;
	sync->owner = NULL;
	sync->queue = queue;
	sync->from = &queue->own;
	sync->sync = true;
	sync->driver.disk = &queue->disk->driver_side;
	sync->driver.op = PLATTER_OP_FLUSH;
	sync->driver.flags = 0;
	sync->driver.offset = 0;
	sync->driver.length = 0;
	return sync;
}

static void start_sync(struct queue *queue)
{
	struct flush *flush = &queue->flush;

	flush->running++;
	queue_resume(queue, flush->sync);
	flush->sync = NULL;
}

static void group_end(struct queue *queue)
{
	struct flush *flush = &queue->flush;
	int group_error = flush->error;
	struct list_head members;
	struct list_head *node;

	list_init(&members);
	list_splice_tail_init(&flush->done, &members);
	list_for_each(node, &flush->sharing)
		container_of(node, struct request, link)->submitted = flush->synced;
	list_splice_tail_init(&flush->sharing, &members);
	flush->error = 0;
	flush->synced = 0;
	while ((node = list_pop(&members))) {
		struct request *request = container_of(node, struct request, link);

		queue_finish(request, group_error ? -EIO : request->error);
	}
}

/* The last of those that ran is back: the sync's turn, or the end. */
static void advance(struct queue *queue)
{
	struct flush *flush = &queue->flush;

	/* Where a change failed so, no sync can tell anybody that all is well; the group's own is for members that are left. */
	if (flush->sync && flush->error && flush->sync->done) {
		list_add_tail(&flush->sync->link, &flush->sharing);
		flush->sync = NULL;
	} else if (flush->sync && !flush->sync->done && (flush->error || list_empty(&flush->done))) {
		request_put(flush->sync);
		flush->sync = NULL;
	}
	if (flush->sync)
		start_sync(queue);
	else
		group_end(queue);
}

void flush_member_gone(struct queue *queue)
{
	if (--queue->flush.running == 0)
		advance(queue);
}

void flush_member_back(struct queue *queue, struct request *request)
{
	struct flush *flush = &queue->flush;

	if (flush_is_disk_failure(request)) {
		flush->error = request->error;
		disk_failed(queue->disk, request->error);
	}
	if (request->driver.op == PLATTER_OP_FLUSH)
		flush->synced = request->submitted;
	if (request->done)
		list_add_tail(&request->link, &flush->done);
	else
		request_put(request);
	flush_member_gone(queue);
}

/* On a disk that has failed already, all fail. */
static void refuse(struct list_head *members)
{
	struct list_head *node;

	while ((node = list_pop(members)))
		queue_finish(container_of(node, struct request, link), -EIO);
}

/* Sorts MEMBERS: the first FLUSH syncs for all; returns how many are changes. */
static unsigned take_flushes(struct queue *queue, struct list_head *members)
{
	struct flush *flush = &queue->flush;
	struct list_head *node, *following;
	unsigned changes = 0;

	list_for_each_safe(node, following, members) {
		struct request *request = container_of(node, struct request, link);

		if (request->driver.op != PLATTER_OP_FLUSH) {
			changes++;
			continue;
		}
		list_del_init(node);
		request->error = 0;
		if (!flush->sync) {
			flush->sync = request;
			continue;
		}
		list_add_tail(node, &flush->sharing);
		account_merged(&queue->account, request);
	}
	return changes;
}

bool flush_start(struct queue *queue)
{
	struct flush *flush = &queue->flush;
	struct list_head members, *node;
	unsigned changes;
	bool together;

	if (flush->running || list_empty(&flush->waiting))
		return false;
	list_init(&members);
	list_splice_tail_init(&flush->waiting, &members);
	if (disk_failure(queue->disk)) {
		refuse(&members);
		/* Others may have waited for the data of these. */
		return true;
	}
	changes = take_flushes(queue, &members);
	if (changes > 1 && !flush->sync)
		flush->sync = own_sync(queue, list_first_entry(&members, struct request, link)->block);
	together = changes > 1 && flush->sync;
	flush->running = changes;
	if (!together && flush->sync)
		start_sync(queue);
	while ((node = list_pop(&members))) {
		struct request *request = container_of(node, struct request, link);

		if (together)
			request->driver.flags &= (uint16_t)~PLATTER_REQ_FUA;
		queue_insert(queue, request);
	}
	return true;
}
