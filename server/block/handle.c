/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/handle.h"

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/request.h"

/* Requests of one disk, on one reactor, that are handled at a time. */
#define HANDLE_MOST 16

static struct pool *io_pool;

void handle_init(struct pool *pool)
{
	io_pool = pool;
}

static void job_run(struct pool_job *job)
{
	struct request *request = container_of(job, struct request, job);
	struct disk *disk = request->queue->disk;

	platter_request_complete(&request->driver,
				 driver_result(disk->driver->ops->handle(&disk->driver_side, &request->driver), NULL));
}

static void run(struct request *request)
{
	request->handled = true;
	request->queue->handling++;
	list_add_tail(&request->link, &request->block->running);
	request->job = (struct pool_job){ .run = job_run };
	pool_run(io_pool, &request->job);
}

void handle_start(struct request *request)
{
	struct queue *queue = request->queue;

	if (queue->handling < HANDLE_MOST)
		run(request);
	else
		list_add_tail(&request->link, &queue->to_handle);
}

void handle_back(struct request *request)
{
	struct queue *queue = request->queue;
	struct list_head *node;

	queue->handling--;
	node = list_pop(&queue->to_handle);
	if (node)
		run(container_of(node, struct request, link));
}
