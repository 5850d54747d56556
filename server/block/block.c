/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/block.h"

#include <stdlib.h>

#include "server/block/queue.h"
#include "server/block/request.h"

static _Thread_local struct block *self;

void block_init(struct block *block, unsigned index, uint64_t memory_limit)
{
	*block = (struct block){ .index = index };
	budget_init(&block->budget, memory_limit);
	list_init(&block->dirty);
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

bool block_holds_memory(const struct block *block)
{
	return block->buffers.bytes || block->free_request_count;
}
