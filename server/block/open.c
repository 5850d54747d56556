/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/open.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/geometry.h"
#include "server/block/handle.h"
#include "server/block/registry.h"
#include "server/block/usage.h"

void open_init(struct open_state *state, struct pool *control)
{
	*state = (struct open_state){ .phase = DISK_CLOSED, .pool = control };
	pthread_mutex_init(&state->lock, NULL);
	pthread_cond_init(&state->idle, NULL);
	list_init(&state->openers);
}

void open_destroy(struct open_state *state)
{
	pthread_cond_destroy(&state->idle);
	pthread_mutex_destroy(&state->lock);
}

static void opener_run(struct engine_message *message)
{
	struct disk_opener *opener = container_of(message, struct disk_opener, message);

	opener->done(opener);
}

static void opener_answer(struct disk_opener *opener, int result, const struct platter_error *error)
{
	opener->result = result;
	opener->error = *error;
	if (!opener->engine) {
		opener->done(opener);
		return;
	}
	opener->message.run = opener_run;
	engine_post(opener->engine, &opener->message);
}

static void open_run(struct pool_job *job);
static void release_run(struct pool_job *job);

/* With the lock held: what unlock_and_run() is to run.  The job has a reference to the disk. */
static struct pool_job *enter(struct disk *disk, enum open_phase phase, void (*run)(struct pool_job *))
{
	disk_get(disk);
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

	pthread_mutex_lock(&disk->calls);
	disk->tied = false;
	result = driver_result(disk->driver->ops->open(&disk->driver_side, &geometry, &error), &error);
	if (result == 0) {
		result = geometry_check(&geometry, &error);
		if (!disk->driver->ops->submit && geometry.queue_depth > HANDLE_MOST)
			geometry.queue_depth = HANDLE_MOST;
		if (result < 0 && disk->driver->ops->release)
			(void)disk->driver->ops->release(&disk->driver_side, &(struct platter_error){ "" });
	}
	if (result == 0) {
		disk->geometry = geometry;
		disk->capacity = geometry.bytes;
		limits_opened(&disk->limits, &geometry);
		if (geometry.capabilities & PLATTER_DISK_READ_ONLY)
			disk->read_only = true;
	}
	pthread_mutex_unlock(&disk->calls);
	pthread_mutex_lock(&state->lock);
	state->phase = result == 0 ? DISK_OPEN : DISK_CLOSED;
	while ((node = list_pop(&state->openers))) {
		if (result < 0)
			state->users--;
		opener_answer(container_of(node, struct disk_opener, link), result, &error);
	}
	pthread_cond_broadcast(&state->idle);
	pthread_mutex_unlock(&state->lock);
	if (result < 0)
		disk_log_ratelimited(disk, WARNING, "cannot be opened: %s", error.text[0] ? error.text : strerror(-result));
	disk_put(disk);
}

static void release_run(struct pool_job *job)
{
	struct disk *disk = container_of(job, struct disk, open.job);
	struct platter_error error = { "" };
	struct pool_job *next = NULL;
	int result;

	pthread_mutex_lock(&disk->calls);
	result = disk->driver->ops->release ? driver_result(disk->driver->ops->release(&disk->driver_side, &error), &error) : 0;
	pthread_mutex_unlock(&disk->calls);
	if (result < 0) {
		disk_log_ratelimited(disk, ERROR, "release: %s", error.text[0] ? error.text : strerror(-result));
		disk_failed(disk, result);
	}
	pthread_mutex_lock(&disk->open.lock);
	disk->open.phase = DISK_CLOSED;
	/* Somebody came meanwhile. */
	if (!list_empty(&disk->open.openers))
		next = enter(disk, DISK_OPENING, open_run);
	pthread_cond_broadcast(&disk->open.idle);
	unlock_and_run(&disk->open, next);
	disk_put(disk);
}

/* CLAIMANT: who has claimed it. */
static void open_for(struct disk *disk, struct disk_opener *opener, bool claimant)
{
	struct open_state *state = &disk->open;
	struct pool_job *job = NULL;

	pthread_mutex_lock(&state->lock);
	if (state->shut) {
		opener_answer(opener, -ENODEV, &(struct platter_error){ "it is being removed or changed" });
	} else if (state->claimed && !claimant) {
		opener_answer(opener, -EBUSY, &(struct platter_error){ "another disk stands on it" });
	} else if (state->phase == DISK_OPEN) {
		state->users++;
		opener_answer(opener, 0, &(struct platter_error){ "" });
	} else {
		state->users++;
		list_add_tail(&opener->link, &state->openers);
		if (state->phase == DISK_CLOSED)
			job = enter(disk, DISK_OPENING, open_run);
	}
	unlock_and_run(state, job);
}

void disk_open(struct disk *disk, struct disk_opener *opener)
{
	open_for(disk, opener, false);
}

void disk_release(struct disk *disk)
{
	struct open_state *state = &disk->open;
	struct pool_job *job = NULL;

	pthread_mutex_lock(&state->lock);
	if (--state->users == 0) {
		job = enter(disk, DISK_RELEASING, release_run);
		pthread_cond_broadcast(&state->idle);
	}
	unlock_and_run(state, job);
}

struct waiting_opener {
	struct disk_opener opener;
	sem_t done;
};

static void waiting_done(struct disk_opener *opener)
{
	sem_post(&container_of(opener, struct waiting_opener, opener)->done);
}

static int open_and_wait(struct disk *disk, bool claimant, struct platter_error *error)
{
	struct waiting_opener waiting = { .opener = { .done = waiting_done } };

	sem_init(&waiting.done, 0, 0);
	open_for(disk, &waiting.opener, claimant);
	while (sem_wait(&waiting.done) < 0)
		;
	sem_destroy(&waiting.done);
	if (waiting.opener.result < 0)
		*error = waiting.opener.error;
	return waiting.opener.result;
}

int disk_open_wait(struct disk *disk, struct platter_error *error)
{
	return open_and_wait(disk, false, error);
}

int disk_open_claimed(struct disk *disk, struct platter_error *error)
{
	return open_and_wait(disk, true, error);
}

bool open_claim(struct disk *disk)
{
	struct open_state *state = &disk->open;
	bool claimed;

	pthread_mutex_lock(&state->lock);
	claimed = !state->shut && !state->users;
	state->claimed |= claimed;
	pthread_mutex_unlock(&state->lock);
	return claimed;
}

void open_unclaim(struct disk *disk)
{
	pthread_mutex_lock(&disk->open.lock);
	disk->open.claimed = false;
	pthread_mutex_unlock(&disk->open.lock);
}

unsigned disk_users(struct disk *disk)
{
	unsigned users;

	pthread_mutex_lock(&disk->open.lock);
	users = disk->open.users;
	pthread_mutex_unlock(&disk->open.lock);
	return users;
}

void open_unshut(struct disk *disk)
{
	pthread_mutex_lock(&disk->open.lock);
	disk->open.shut = false;
	pthread_mutex_unlock(&disk->open.lock);
}

/* With the lock held, which is let go meanwhile. */
static void wait_for_idle(struct open_state *state, uint64_t until)
{
	const struct timespec limit = clock_timespec(until);

	pthread_cond_clockwait(&state->idle, &state->lock, CLOCK_MONOTONIC, &limit);
}

int open_shut_begin(struct disk *disk, const struct patience *patience, struct platter_error *error)
{
	struct open_state *state = &disk->open;
	unsigned users;

	pthread_mutex_lock(&state->lock);
	users = patience->until ? 0 : state->users;
	state->shut = users == 0;
	pthread_mutex_unlock(&state->lock);
	return users ? usage_fail(disk, users, error) : 0;
}

int open_shut_end(struct disk *disk, const struct patience *patience, struct platter_error *error)
{
	struct open_state *state = &disk->open;
	unsigned users;

	pthread_mutex_lock(&state->lock);
	while (state->shut && state->users && patience_lasts(patience))
		wait_for_idle(state, patience_step(patience));
	users = state->shut ? state->users : 0;
	if (users)
		state->shut = false;
	while (!users && state->phase != DISK_CLOSED)
		pthread_cond_wait(&state->idle, &state->lock);
	pthread_mutex_unlock(&state->lock);
	return users ? usage_fail(disk, users, error) : 0;
}

int open_shut(struct disk *disk, const struct patience *patience, struct platter_error *error)
{
	int result = open_shut_begin(disk, patience, error);

	return result < 0 ? result : open_shut_end(disk, patience, error);
}
