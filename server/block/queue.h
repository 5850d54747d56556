/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's queue on one reactor.  A request comes in with queue_add(); when it
 * waits for nothing (see overlap.h and flush.h) it is given to the elevator,
 * which decides, whenever the reactor dispatches and the driver has room, what
 * goes next and with which neighbours (merge.h); it goes to the driver in parts
 * where it exceeds the driver's limits (split.h), and ends with its `done`.  Without an elevator it goes
 * at once, when nothing else waits.
 * A disk that only its home reactor serves uses just that reactor's queue.
 *
 * Nothing waits for others to come, unless somebody wants it so (plug_us): what is merged is what was there, and what
 * came while the driver was busy, as a whole or with the run that it goes on (run.h).
 */
#ifndef BLOCK_QUEUE_H
#define BLOCK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/account.h"
#include "server/block/elevator.h"
#include "server/block/flush.h"
#include "server/block/limits.h"
#include "server/block/overlap.h"
#include "server/block/run.h"
#include "server/block/software_queue.h"
#include "server/block/sparse.h"

struct block;
struct disk;
struct request;

struct queue {
	struct disk *disk;
	struct block *block;            /* whose thread it is on; from the first request on */
	struct list_head dirty;         /* in its block's list when there is something to dispatch */
	bool dispatching;
	uint64_t now;                   /* CLOCK_MONOTONIC, ns, when it last dispatched */

	struct overlaps overlaps;       /* changes of the same data */
	struct flush flush;

	const struct elevator *elevator;
	void *elevator_data;
	struct limits limits;           /* as the disk's were when `generation` was */
	unsigned generation;
	struct software_queue own;      /* of requests that are no connection's */
	struct software_queues software;

	struct list_head plugged;       /* in its block's list while it waits for more to merge... */
	uint64_t unplug_at;             /* ...until then, CLOCK_MONOTONIC, ns; 0: it doesn't */
	unsigned waiting;               /* requests in the elevator, `resumed` and for a later turn */
	struct runs runs;               /* sequential ones, whose next requests wait to be merged */
	struct list_head resumed;       /* what goes before all others: it has started, or others wait for it */
	unsigned in_driver;             /* requests that the driver has... */
	unsigned changes_in_driver;     /* ...and that change data... */
	uint64_t change_bytes;          /* ...so much of it */

	struct sparse sparse;           /* where there is nothing but data */

	struct queue_account account;   /* what was counted of its requests */
};

void queue_init(struct queue *queue, struct disk *disk);
void queue_destroy(struct queue *queue);

/*
 * Queues REQUEST; its block's thread.  When it has a software queue, a connection's, it may end inside.
 */
void queue_add(struct queue *queue, struct request *request);

/* Ends OWNER's requests that haven't started with -ECANCELED. */
void queue_drop(struct queue *queue, const void *owner);

/* For block.c: the time to wait for more is over; starts what may start; takes a request back from the driver. */
void queue_unplug(struct queue *queue);
void queue_dispatch(struct queue *queue);
void queue_complete(struct request *request);

/* For the parts of the queue: REQUEST waits for nothing but its turn. */
void queue_insert(struct queue *queue, struct request *request);
/* It leaves the elevator. */
void queue_take(struct queue *queue, struct request *request);
/* It goes before all others. */
void queue_resume(struct queue *queue, struct request *request);
/* It has ended. */
void queue_finish(struct request *request, int error);

#endif
