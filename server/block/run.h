/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequential runs.  Whoever writes or reads small requests one behind the other
 * would always find the driver with room for the next one, and nothing would
 * ever be merged.  So the driver is given only so many requests of a run at a
 * time (run_depth): those behind them wait for one of these, and go together.
 * What is no run, and what is large, is not concerned.
 *
 * A device that does many at a time as quickly as one would lose by that.
 * Whether this one does is tried out: see trial.h.
 */
#ifndef BLOCK_RUN_H
#define BLOCK_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/trial.h"

struct queue;
struct request;

/* Runs that are followed at a time, and ends of requests in which the next one's beginning is recognised. */
#define RUN_MOST 8
#define RUN_RECENT 64

struct run {
	uint64_t end;               /* where the next one begins */
	struct list_head followers; /* those that wait, in the order of the disk, but for gaps where one was dropped */
	uint64_t bytes;             /* of these */
	unsigned segments;
	unsigned in_driver;         /* requests of the run; a run that has none is free */
	uint16_t op, flags;
	bool sync;
};

struct runs {
	struct run runs[RUN_MOST];
	unsigned active;            /* those that aren't free */
	uint64_t recent[RUN_RECENT]; /* by what they are */
	struct trial trial;         /* of holding back (0), and letting all go (1) */
};

void run_init(struct runs *runs);

/* Whether REQUEST, in the elevator, rather waits for the requests in front of it: then it has left the elevator. */
bool run_hold(struct queue *queue, struct request *request);

/* REQUEST goes to the driver. */
void run_join(struct queue *queue, struct request *request);

/* REQUEST, which has a run, has been done: so long did it, or its members, take. */
void run_took(struct queue *queue, const struct request *request);

/* REQUEST, which has a run, is back. */
void run_back(struct queue *queue, struct request *request);

/* One of OWNER's that wait, which waits no longer; NULL when there is none. */
struct request *run_take(struct runs *runs, const void *owner);

#endif
