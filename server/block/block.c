/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/block.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/account.h"
#include "server/block/disk.h"
#include "server/block/queue.h"
#include "server/block/request.h"

static _Thread_local struct block *self;

void block_init(struct block *block, unsigned index, uint64_t memory_limit)
{
	*block = (struct block){ .index = index };
	budget_init(&block->budget, memory_limit);
	list_init(&block->dirty);
	list_init(&block->running);
	list_init(&block->plugged);
}

static void free_unused_requests(struct block *block)
{
	for (; block->unused_requests; block->unused_requests--) {
		struct request *request = block->free_requests;

		block->free_requests = request->next;
		block->free_request_count--;
		free(request);
	}
}

void block_destroy(struct block *block)
{
	block->unused_requests = block->free_request_count;
	free_unused_requests(block);
	buffers_destroy(&block->buffers);
}

void block_set_self(struct block *block)
{
	self = block;
}

struct block *block_self(void)
{
	return self;
}

void block_dispatch(struct block *block)
{
	struct list_head now;
	struct list_head *node;

	/* Queues that get dirty again meanwhile have their turn next time: nobody keeps the reactor for long. */
	list_init(&now);
	list_splice_tail_init(&block->dirty, &now);
	while ((node = list_pop(&now)))
		queue_dispatch(container_of(node, struct queue, dirty));
}

bool block_has_work(const struct block *block)
{
	return !list_empty(&block->dirty);
}

void block_plug(struct block *block, uint64_t ns)
{
	block->timer(block, ns);
}

void block_unplug(struct block *block)
{
	uint64_t next = 0;
	struct list_head *node, *following;

	list_for_each_safe(node, following, &block->plugged) {
		struct queue *queue = container_of(node, struct queue, plugged);

		if (queue->unplug_at <= block->now)
			queue_unplug(queue);
		else if (!next || queue->unplug_at < next)
			next = queue->unplug_at;
	}
	if (next)
		block->timer(block, next);
}

void block_look_at_clock(struct block *block)
{
	block->now = clock_ns();
}

void block_collect(struct block *block)
{
	struct request *request = atomic_exchange(&block->remote, NULL);

	while (request) {
		struct request *next = request->next;

		queue_complete(request);
		request = next;
	}
}

void block_trim(struct block *block)
{
	free_unused_requests(block);
	block->unused_requests = block->free_request_count;
	buffers_trim(&block->buffers);
}

static void complain(struct request *request, unsigned seconds)
{
	const struct platter_request *driver = &request->driver;

	request->watched = true;
	disk_log(request->queue->disk, WARNING, "its driver has had a %s of %" PRIu64 " bytes at %" PRIu64 " for more than %u s",
		 account_op_name(driver->op), driver->length, driver->offset, seconds);
}

void block_watch(struct block *block, unsigned seconds)
{
	struct list_head *node;

	block->ticks++;
	list_for_each(node, &block->running) {
		struct request *request = container_of(node, struct request, link);

		if (seconds == 0 || block->ticks - request->since <= seconds)
			break;
		if (!request->watched)
			complain(request, seconds);
	}
}

bool block_has_running(const struct block *block)
{
	return !list_empty(&block->running);
}

bool block_holds_memory(const struct block *block)
{
	return block->buffers.bytes || block->free_request_count;
}
