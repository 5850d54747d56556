/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/nbd/work.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include <platter/host.h>

#include "plugins/nbd/command.h"
#include "plugins/nbd/connection.h"

uint64_t work_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void work_list_init(struct jobs *jobs)
{
	jobs->first = NULL;
	jobs->last = &jobs->first;
}

void work_list_add(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	job->back = jobs->last;
	*jobs->last = job;
	jobs->last = &job->next;
}

void work_list_remove(struct jobs *jobs, struct job *job)
{
	*job->back = job->next;
	if (job->next)
		job->next->back = job->back;
	else
		jobs->last = job->back;
}

static struct job *pop(struct jobs *jobs)
{
	struct job *job = jobs->first;

	if (job)
		work_list_remove(jobs, job);
	return job;
}

/* Of those that are there; NULL: none is. */
static struct connection *least_loaded(struct nbd_disk *disk)
{
	struct connection *best = NULL;

	for (unsigned i = 0; i < disk->count; i++) {
		struct connection *c = &disk->connections[i];

		if (c->ready && (!best || c->load < best->load))
			best = c;
	}
	return best;
}

/* With the lock held; false: nothing may wait any more. */
static bool assign(struct nbd_disk *disk, struct job *job)
{
	struct connection *c = least_loaded(disk);

	if (!c && (disk->given_up || disk->stopping))
		return false;
	if (!c) {
		work_list_add(&disk->waiting, job);
		return true;
	}
	job->connection = c;
	c->load++;
	work_list_add(&c->queue, job);
	if (c->asleep)
		connection_wake(c);
	c->asleep = false;
	return true;
}

void work_submit(struct nbd_disk *disk, struct job *job)
{
	bool accepted;

	pthread_mutex_lock(&disk->lock);
	accepted = assign(disk, job);
	pthread_mutex_unlock(&disk->lock);
	if (!accepted)
		work_end(disk, job, -EIO);
}

struct job *work_take(struct connection *c)
{
	struct job *job;

	pthread_mutex_lock(&c->disk->lock);
	job = pop(&c->queue);
	c->asleep = !job;
	pthread_mutex_unlock(&c->disk->lock);
	return job;
}

void work_ready(struct connection *c)
{
	struct nbd_disk *disk = c->disk;
	struct jobs waited;
	struct job *job;

	pthread_mutex_lock(&disk->lock);
	c->ready = true;
	c->times++;
	c->reason[0] = '\0';
	disk->ready++;
	disk->lost_ns = 0;
	disk->given_up = false;
	work_list_init(&waited);
	while ((job = pop(&disk->waiting)))
		work_list_add(&waited, job);
	while ((job = pop(&waited)))
		(void)assign(disk, job);
	pthread_mutex_unlock(&disk->lock);
}

/* A job that takes every connection with it isn't sent for ever. */
static bool may_go_on(const struct nbd_disk *disk, struct job *job, uint64_t now)
{
	if (!job->lost_ns)
		job->lost_ns = now;
	return now - job->lost_ns < disk->patience_ns;
}

static void end_all(struct nbd_disk *disk, struct jobs *jobs, int error)
{
	struct job *job;

	while ((job = pop(jobs)))
		work_end(disk, job, error);
}

void work_lost(struct connection *c)
{
	struct nbd_disk *disk = c->disk;
	struct jobs told, failed;
	struct job *job;
	uint64_t now;

	work_list_init(&told);
	work_list_init(&failed);
	pthread_mutex_lock(&disk->lock);
	/* Not before: a job may come from a connection that was lost while this one waited for the lock. */
	now = work_clock_ns();
	c->ready = false;
	c->load = 0;
	if (--disk->ready == 0)
		disk->lost_ns = now;
	/* What was sent came first. */
	while ((job = c->sent.first ? pop(&c->sent) : pop(&c->queue))) {
		/* Part of an answer is one: asked again it would be told twice. */
		if (job->told)
			work_list_add(&told, job);
		else if (!may_go_on(disk, job, now) || !assign(disk, job))
			work_list_add(&failed, job);
	}
	pthread_mutex_unlock(&disk->lock);
	end_all(disk, &told, 0);
	end_all(disk, &failed, -EIO);
}

static bool is_change(const struct platter_request *request)
{
	return request->op == PLATTER_OP_WRITE || request->op == PLATTER_OP_TRIM || request->op == PLATTER_OP_ZEROES;
}

void work_end(struct nbd_disk *disk, struct job *job, int error)
{
	struct platter_request *request = job->request;

	command_free(job);
	if (request) {
		/* One that failed may have changed something, too. */
		if (is_change(request))
			disk->changes++;
		platter_request_complete(request, error);
		return;
	}
	pthread_mutex_lock(&disk->lock);
	disk->released = true;
	disk->release_error = error;
	pthread_cond_signal(&disk->ended);
	pthread_mutex_unlock(&disk->lock);
}

/* With the lock held. */
static uint64_t deadline(const struct nbd_disk *disk)
{
	if (!disk->lost_ns || disk->given_up || disk->patience_ns == UINT64_MAX)
		return UINT64_MAX;
	return disk->lost_ns + disk->patience_ns;
}

uint64_t work_deadline(struct nbd_disk *disk)
{
	uint64_t until;

	pthread_mutex_lock(&disk->lock);
	until = deadline(disk);
	pthread_mutex_unlock(&disk->lock);
	return until;
}

void work_expire(struct nbd_disk *disk)
{
	uint64_t now = work_clock_ns();
	bool expired;

	pthread_mutex_lock(&disk->lock);
	expired = deadline(disk) <= now;
	if (expired)
		disk->given_up = true;
	pthread_mutex_unlock(&disk->lock);
	if (!expired)
		return;
	platter_log(PLATTER_LOG_ERROR, "%s: no connection for %" PRIu64 " s: requests fail until there is one again", disk->name,
		    disk->patience_ns / 1000000000);
	(void)work_fail_waiting(disk);
}

unsigned work_fail_waiting(struct nbd_disk *disk)
{
	struct jobs failed;
	struct job *job;
	unsigned count = 0;

	work_list_init(&failed);
	pthread_mutex_lock(&disk->lock);
	for (; (job = pop(&disk->waiting)); count++)
		work_list_add(&failed, job);
	pthread_mutex_unlock(&disk->lock);
	end_all(disk, &failed, -EIO);
	return count;
}
