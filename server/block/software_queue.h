/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A software queue: what one connection has waiting for a disk, in the order of
 * arrival, and its share of the driver.
 *
 * Those that have something take turns, a request each: who sends many doesn't
 * keep the others waiting.  Turns alone are no help where the driver takes all
 * at once: a request would be behind hundreds of another client's, in the
 * disk's own queue.  So while several connections use a disk, each has a share
 * of the places for requests in the driver: as many as the one that uses it
 * least, but `fair_depth` at any rate, and no more than the others leave.  Who
 * is alone has them all.  What goes before all others (queue->resumed) goes
 * whatever the share, and so do TRIM and ZEROES for a later turn, of which a
 * turn has few.
 */
#ifndef BLOCK_SOFTWARE_QUEUE_H
#define BLOCK_SOFTWARE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"

struct account;
struct queue;
struct request;

/* An elevator that treats reads and changes differently keeps them apart, with a share each; for others all are on one side. */
enum software_side {
	SOFTWARE_ALL = 0,
	SOFTWARE_READS = 0,
	SOFTWARE_CHANGES = 1,
	SOFTWARE_LATER = 2,         /* of no elevator: TRIM and ZEROES, or their next parts, that are for a later turn */
	SOFTWARE_SIDES
};

struct software_side_list {
	struct list_head requests;
	struct list_head turn;      /* while there are any: among those of the queue, `ready` or `full`... */
	bool full;                  /* ...which it is */
	unsigned places;            /* that it has: requests with the driver, or chosen to be the next */
};

struct software_queue {
	struct software_side_list side[SOFTWARE_SIDES];
	struct account *account;    /* the connection's; NULL for requests of none */

	struct queue *queue;        /* whose user it is; NULL: of none, yet */
	struct list_head user;
	unsigned open;              /* its requests that haven't ended... */
	unsigned most;              /* ...the most of them since the users were counted... */
	unsigned peak;              /* ...and before that, when it last had some */
	unsigned idle;              /* counts since then */
};

/* A queue's side of it. */
struct software_queues {
	struct list_head ready[SOFTWARE_SIDES]; /* those that have requests, in turn... */
	struct list_head full[SOFTWARE_SIDES];  /* ...and those that wait for one of their places */
	struct list_head users;     /* who has sent something of late */
	unsigned count;             /* of them */
	unsigned least;             /* the least peak of theirs... */
	uint64_t sum;               /* ...and the sum of all */
	uint64_t count_at;          /* when they are counted again; CLOCK_MONOTONIC, ns */
};

void software_queues_init(struct software_queues *all);

/* At each dispatch: who hasn't sent anything for a while is no user any more. */
void software_queues_count(struct queue *queue);

/* It counts for nobody, yet. */
void software_queue_init(struct software_queue *software);

/* Its connection goes, and has no request left. */
void software_queue_leave(struct software_queue *software);

/* REQUEST has come into QUEUE; it has ended. */
void software_queue_opened(struct queue *queue, const struct request *request);
void software_queue_closed(const struct request *request);

/* REQUEST has a place; it has it no more. */
void software_queue_take_place(const struct request *request);
void software_queue_give_back(struct queue *queue, const struct request *request);

/* Whether SIDE has all the places that it may have now, which are LEAST at any rate. */
bool software_queue_is_full(const struct queue *queue, const struct software_queue *software, enum software_side side,
			    unsigned least);

/* REQUEST waits on SIDE of its connection's software queue; it doesn't any more, and that is the last in turn. */
void software_queue_insert(struct queue *queue, struct request *request, enum software_side side);
void software_queue_remove(struct queue *queue, struct request *request, enum software_side side);

/* Whose turn it is, of those that may have another place, or have less than LEAST of them; NULL: nobody's. */
struct request *software_queue_next(struct queue *queue, enum software_side side, unsigned least);

/* One that FITS, if there is one. */
struct request *software_queue_find(struct queue *queue, enum software_side side,
				    bool (*fits)(const struct request *request, const void *owner), const void *owner);

#endif
