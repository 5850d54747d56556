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
	list_init(&block->free_requests);
	list_init(&block->dirty);
}

void block_destroy(struct block *block)
{
	struct list_head *node;

	while ((node = list_pop(&block->free_requests)))
		free(container_of(node, struct request, link));
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

bool block_dispatch(struct block *block)
{
	struct list_head now;
	struct list_head *node;

	/* Queues that get dirty again meanwhile have their turn next time: nobody keeps the reactor for long. */
	list_init(&now);
	list_splice_tail_init(&block->dirty, &now);
	while ((node = list_pop(&now)))
		queue_dispatch(container_of(node, struct queue, dirty));
	return !list_empty(&block->dirty);
}

void block_collect(struct block *block)
{
	struct request *request = atomic_exchange(&block->remote, NULL);

	while (request) {
		struct request *next = request->next_remote;

		queue_complete(request);
		request = next;
	}
}

bool block_trim(struct block *block)
{
	for (; block->unused_requests; block->unused_requests--) {
		/* From the far end: those were not needed for the longest time. */
		struct list_head *node = block->free_requests.prev;

		list_del_init(node);
		block->free_request_count--;
		free(container_of(node, struct request, link));
	}
	block->unused_requests = block->free_request_count;
	return buffers_trim(&block->buffers) || block->free_request_count;
}
