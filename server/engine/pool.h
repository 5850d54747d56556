/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools of threads for what blocks.  A job's `run` is called on one of the
 * pool's threads; afterwards its message is posted to the engine that wants
 * to hear of it.
 */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include "server/engine/engine.h"

struct pool;

struct pool_job {
	void (*run)(struct pool_job *job);
	/* After run, message.run is called on the thread of engine, if there is one; without one run ends the job. */
	struct engine *engine;
	struct engine_message message;
	struct pool_job *next;
};

/* Threads are made as jobs need them, at most MAX, and go after some idle seconds. */
int pool_create(struct pool **ret, const char *name, unsigned max);

/* Waits for every job.  NULL is allowed. */
void pool_destroy(struct pool *pool);

/* Any thread.  Jobs start in order; when no thread can be made for the first one, it is run by the caller. */
void pool_run(struct pool *pool, struct pool_job *job);

#endif
