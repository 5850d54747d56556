/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/open.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/geometry.h"

void open_init(struct open_state *state, struct pool *control)
{
	*state = (struct open_state){ .phase = DISK_CLOSED, .pool = control };
	pthread_mutex_init(&state->lock, NULL);
	list_init(&state->openers);
}

static void opener_run(struct engine_message *message)
{
	struct disk_opener *opener = container_of(message, struct disk_opener, message);

	opener->done(opener);
}

static void opener_answer(struct disk_opener *opener, const struct open_state *state)
{
	opener->result = state->result;
	opener->error = state->error;
	opener->message.run = opener_run;
	engine_post(opener->engine, &opener->message);
}

static void open_run(struct pool_job *job);
static void release_run(struct pool_job *job);

/* With the lock held: what unlock_and_run() is to run. */
static struct pool_job *enter(struct disk *disk, enum open_phase phase, void (*run)(struct pool_job *))
{
	disk->open.phase = phase;
	disk->open.job = (struct pool_job){ .run = run };
	return &disk->open.job;
}

/* A pool that can have no thread runs the job here, and the job takes the lock. */
static void unlock_and_run(struct open_state *state, struct pool_job *job)
{
	pthread_mutex_unlock(&state->lock);
	if (job)
		pool_run(state->pool, job);
}

static void open_run(struct pool_job *job)
{
	struct disk *disk = container_of(job, struct disk, open.job);
	struct open_state *state = &disk->open;
	struct platter_geometry geometry = { .size = sizeof(geometry) };
	struct platter_error error = { "" };
	struct list_head *node;
	int result;

	result = disk->driver->ops->open(&disk->driver_side, &geometry, &error);
	if (result == 0) {
		result = geometry_check(&geometry, &error);
		if (result < 0 && disk->driver->ops->release)
			(void)disk->driver->ops->release(&disk->driver_side, &(struct platter_error){ "" });
	}
	pthread_mutex_lock(&state->lock);
	state->result = result;
	state->error = error;
	if (result == 0) {
		disk->geometry = geometry;
		disk->read_only |= (geometry.capabilities & PLATTER_DISK_READ_ONLY) != 0;
	}
	state->phase = result == 0 ? DISK_OPEN : DISK_CLOSED;
	while ((node = list_pop(&state->openers))) {
		if (result < 0)
			state->users--;
		opener_answer(container_of(node, struct disk_opener, link), state);
	}
	pthread_mutex_unlock(&state->lock);
	if (result < 0)
		log_warning("%s: cannot be opened: %s", disk->name, error.text[0] ? error.text : strerror(-result));
}

static void release_run(struct pool_job *job)
{
	struct disk *disk = container_of(job, struct disk, open.job);
	struct platter_error error = { "" };
	struct pool_job *next = NULL;
	int result = disk->driver->ops->release ? disk->driver->ops->release(&disk->driver_side, &error) : 0;

	if (result < 0) {
		log_error("%s: release: %s", disk->name, error.text[0] ? error.text : strerror(-result));
		disk_failed(disk, result);
	}
	pthread_mutex_lock(&disk->open.lock);
	disk->open.phase = DISK_CLOSED;
	/* Somebody came meanwhile. */
	if (!list_empty(&disk->open.openers))
		next = enter(disk, DISK_OPENING, open_run);
	unlock_and_run(&disk->open, next);
}

void disk_open(struct disk *disk, struct disk_opener *opener)
{
	struct open_state *state = &disk->open;
	struct pool_job *job = NULL;

	pthread_mutex_lock(&state->lock);
	state->users++;
	if (state->phase == DISK_OPEN) {
		opener_answer(opener, state);
	} else {
		list_add_tail(&opener->link, &state->openers);
		if (state->phase == DISK_CLOSED)
			job = enter(disk, DISK_OPENING, open_run);
	}
	unlock_and_run(state, job);
}

void disk_release(struct disk *disk)
{
	struct open_state *state = &disk->open;
	struct pool_job *job = NULL;

	pthread_mutex_lock(&state->lock);
	if (--state->users == 0)
		job = enter(disk, DISK_RELEASING, release_run);
	unlock_and_run(state, job);
}
