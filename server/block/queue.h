/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's queue on one reactor: requests come in with queue_add(), go to the
 * driver when the reactor dispatches, in parts where they exceed the driver's
 * limits, and come back through their `done`.  A disk that only its home
 * reactor serves uses just that reactor's queue.
 *
 * Order.  Requests that change overlapping ranges take effect in the order of
 * their arrival, over all connections: the later one waits in the earlier
 * one's `waiters`, until that has ended.  So a request of a client that has gone cannot undo what it
 * sent again on another connection.
 *
 * Durability.  The kernel reports a failed write-back once per open file, to
 * whichever sync comes first; and a sync covers only writes that were complete
 * when it started.  Therefore FLUSH and FUA requests run in groups: those that
 * arrive while a group runs wait for the next one, a group's FLUSHes share one
 * sync, its members are answered together when all are back, and if the disk
 * failed one of them, it failed all.  That failure stays with the disk: see
 * disk_failed().
 */
#ifndef BLOCK_QUEUE_H
#define BLOCK_QUEUE_H

#include "common/list.h"

struct block;
struct disk;
struct request;

struct queue {
	struct disk *disk;
	struct list_head dirty;        /* in its block's list when there is something to dispatch */
	struct list_head pending;      /* requests to start, in the order of arrival */

	struct list_head changes;      /* requests that change data, in the order of arrival, until their end */
	struct list_head later;        /* TRIM and ZEROES, or their next parts, that are for a later turn */

	struct list_head sync_waiting; /* FLUSH and FUA requests of the next group */
	struct list_head sync_flushes; /* FLUSHes of the running group that share its sync */
	struct list_head sync_done;    /* members of the running group that are back */
	unsigned sync_running;         /* members that aren't */
	int sync_error;                /* the disk's failure in this group */

	unsigned handling;             /* requests that the driver's `handle` has; see handle.h */
	struct list_head to_handle;    /* those that wait for that */
};

void queue_init(struct queue *queue, struct disk *disk);

/* Queues REQUEST; its block's thread. */
void queue_add(struct queue *queue, struct request *request);

/* Ends OWNER's requests that haven't started with -ECANCELED. */
void queue_drop(struct queue *queue, const void *owner);

/* For block.c: starts what is pending; takes a request back from the driver. */
void queue_dispatch(struct queue *queue);
void queue_complete(struct request *request);

#endif
