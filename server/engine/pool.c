/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/engine/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define IDLE_SECONDS 10

struct pool {
	pthread_mutex_t lock; /* for everything below */
	pthread_cond_t work;  /* a job was queued, or the pool is closing */
	pthread_cond_t gone;  /* a thread has ended */
	struct pool_job *first, **last;
	unsigned queued;      /* jobs */
	unsigned idle;        /* threads that wait for work */
	unsigned threads, max;
	bool closing;
	const char *name;
	pthread_t ended;  /* the last thread that went at the pool's end, to be joined... */
	bool has_ended;   /* ...if there is one */
};

int pool_create(struct pool **ret, const char *name, unsigned max)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	pthread_condattr_t attributes;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, &attributes);
	pthread_cond_init(&pool->gone, &attributes);
	pthread_condattr_destroy(&attributes);
	pool->last = &pool->first;
	pool->name = name;
	pool->max = max;
	*ret = pool;
	return 0;
}

/* After message.run the job may be gone: whoever owns it hears of its end there. */
static void job_run(struct pool_job *job)
{
	struct engine *engine = job->engine;

	job->run(job);
	if (engine)
		engine_post(engine, &job->message);
}

/* Waits for a job with the lock held; NULL when the thread should end. */
static struct pool_job *pool_next(struct pool *pool)
{
	struct pool_job *job;
	struct timespec until;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (!pool->first && !pool->closing && result != ETIMEDOUT) {
		pool->idle++;
		result = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
		pool->idle--;
	}
	job = pool->first;
	if (job) {
		pool->first = job->next;
		if (!pool->first)
			pool->last = &pool->first;
		pool->queued--;
	}
	return job;
}

/*
 * The calling thread ends, with the lock held, which it gives back.  Libraries clean up behind a thread's last line: at
 * the pool's end each waits for the one that went before it, and the pool for the last.
 */
static void leave(struct pool *pool)
{
	bool closing = pool->closing, joins = closing && pool->has_ended;
	pthread_t before = pool->ended;

	pool->ended = pthread_self();
	pool->has_ended = closing;
	pool->threads--;
	pthread_cond_broadcast(&pool->gone);
	pthread_mutex_unlock(&pool->lock);
	if (joins)
		pthread_join(before, NULL);
	if (!closing)
		pthread_detach(pthread_self());
}

static void *pool_thread(void *argument)
{
	struct pool *pool = argument;
	struct pool_job *job;

	pthread_setname_np(pthread_self(), pool->name);
	pthread_mutex_lock(&pool->lock);
	while ((job = pool_next(pool))) {
		pthread_mutex_unlock(&pool->lock);
		job_run(job);
		pthread_mutex_lock(&pool->lock);
	}
	leave(pool);
	return NULL;
}

/* With the lock held. */
static bool pool_grow(struct pool *pool)
{
	pthread_t thread;
	int result = pthread_create(&thread, NULL, pool_thread, pool);

	if (result == 0)
		pool->threads++;
	return result == 0;
}

void pool_run(struct pool *pool, struct pool_job *job)
{
	bool stranded;

	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	if (pool->queued + 1 > pool->idle && pool->threads < pool->max)
		pool_grow(pool);
	stranded = pool->threads == 0;
	if (!stranded) {
		*pool->last = job;
		pool->last = &job->next;
		pool->queued++;
		if (pool->idle)
			pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->lock);
	if (stranded)
		job_run(job);
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->threads)
		pthread_cond_wait(&pool->gone, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	if (pool->has_ended)
		pthread_join(pool->ended, NULL);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->gone);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
