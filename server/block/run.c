/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/run.h"

#include "server/block/block.h"
#include "server/block/merge.h"
#include "server/block/queue.h"
#include "server/block/request.h"

/* What is larger doesn't gain enough by being merged. */
#define RUN_SMALL (64u << 10)

void run_init(struct runs *runs)
{
	for (unsigned i = 0; i < RUN_MOST; i++)
		list_init(&runs->runs[i].followers);
	/* No request begins there. */
	for (unsigned i = 0; i < RUN_RECENT; i++)
		runs->recent[i] = UINT64_MAX;
	trial_init(&runs->trial);
}

static bool is_free(const struct run *run)
{
	return run->in_driver == 0;
}

/* The run that REQUEST goes on. */
static struct run *find(struct runs *runs, const struct request *request)
{
	for (unsigned i = 0; runs->active && i < RUN_MOST; i++) {
		struct run *run = &runs->runs[i];

		if (run->end == request->driver.offset && !is_free(run) && run->op == request->driver.op &&
		    run->flags == request->driver.flags && run->sync == request->sync)
			return run;
	}
	return NULL;
}

/* Where an end is remembered; another one may take its place. */
static uint64_t *place_of(struct runs *runs, uint64_t end)
{
	return &runs->recent[end * UINT64_C(0x9e3779b97f4a7c15) >> 58];
}

_Static_assert(RUN_RECENT == 1 << (64 - 58), "the hash gives as many");

/* The followers go: together, as far as they lie together and fit. */
static void release(struct queue *queue, struct run *run)
{
	struct request *request = merge_list(queue, &run->followers);

	request->run = run;
	run->in_driver++;
	queue_resume(queue, request);
	/* Behind a gap: these may have another's end in front of them now, and are looked at anew. */
	while (!list_empty(&run->followers)) {
		request = list_first_entry(&run->followers, struct request, link);
		list_del_init(&request->link);
		queue_insert(queue, request);
	}
	run->bytes = 0;
	run->segments = 0;
}

static bool has_room(const struct queue *queue, const struct run *run, const struct request *request)
{
	return run->bytes + request->driver.length <= merge_limit(queue, request) &&
	       run->segments + request->driver.iovcnt <= queue->limits.max_segments;
}

static bool is_off(const struct queue *queue)
{
	return !queue->limits.run_depth || queue->limits.nomerges == QUEUE_MERGES_NONE;
}

/* Whether the driver is given what there is of RUN. */
static bool has_all_go(const struct queue *queue, const struct run *run)
{
	return run->in_driver < queue->limits.run_depth || !queue->limits.run_depth ||
	       (queue->runs.trial.way && !queue->limits.run_asked);
}

bool run_hold(struct queue *queue, struct request *request)
{
	struct run *run;

	if (!queue->runs.active || request->driver.length > RUN_SMALL || !request->mergeable || is_off(queue))
		return false;
	run = find(&queue->runs, request);
	if (!run || has_all_go(queue, run))
		return false;
	queue_take(queue, request);
	if (!list_empty(&run->followers) && !has_room(queue, run, request))
		release(queue, run);
	list_add_tail(&request->link, &run->followers);
	run->bytes += request->driver.length;
	run->segments += request->driver.iovcnt;
	run->end += request->driver.length;
	return true;
}

static struct run *start(struct runs *runs, const struct request *request)
{
	for (unsigned i = 0; i < RUN_MOST; i++) {
		struct run *run = &runs->runs[i];

		if (!is_free(run))
			continue;
		runs->active++;
		run->op = request->driver.op;
		run->flags = request->driver.flags;
		run->sync = request->sync;
		return run;
	}
	return NULL;
}

void run_join(struct queue *queue, struct request *request)
{
	struct runs *runs = &queue->runs;
	uint64_t end = request->driver.offset + request->driver.length;

	if (!request->mergeable || request->run || is_off(queue))
		return;
	request->run = find(runs, request);
	if (!request->run && *place_of(runs, request->driver.offset) == request->driver.offset)
		request->run = start(runs, request);
	if (request->run) {
		request->run->end = end;
		request->run->in_driver++;
	} else {
		*place_of(runs, end) = end;
	}
}

void run_took(struct queue *queue, const struct request *request)
{
	struct list_head *node;
	uint64_t now = queue->block->now;

	if (request->error)
		return;
	if (list_empty(&request->members))
		trial_add(&queue->runs.trial, request->arrived, now);
	list_for_each(node, &request->members)
		trial_add(&queue->runs.trial, container_of(node, struct request, link)->arrived, now);
}

void run_back(struct queue *queue, struct request *request)
{
	struct run *run = request->run;

	request->run = NULL;
	run->in_driver--;
	if (!list_empty(&run->followers) && has_all_go(queue, run))
		release(queue, run);
	if (is_free(run)) {
		*place_of(&queue->runs, run->end) = run->end;
		queue->runs.active--;
	}
}

struct request *run_take(struct runs *runs, const void *owner)
{
	for (unsigned i = 0; i < RUN_MOST; i++) {
		struct run *run = &runs->runs[i];
		struct list_head *node;

		list_for_each(node, &run->followers) {
			struct request *request = container_of(node, struct request, link);

			if (request->owner != owner)
				continue;
			list_del_init(node);
			run->bytes -= request->driver.length;
			run->segments -= request->driver.iovcnt;
			return request;
		}
	}
	return NULL;
}
