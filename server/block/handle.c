/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/handle.h"

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/request.h"

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

void handle_start(struct request *request)
{
	request->job = (struct pool_job){ .run = job_run };
	pool_run(io_pool, &request->job);
}
