/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of the same data take effect in the order of their arrival, over all
 * connections of a disk: the later one waits until the earlier one has ended,
 * so that a request of a client that has gone cannot undo what the client sent
 * again on another connection, and nothing that is merged or sorted overtakes
 * what it overlaps.
 *
 * Changes that wait for nobody don't overlap each other.  These, and those that
 * wait, are found by the granule of the disk that they begin in.  Granules are of
 * several sizes, the levels; a change is on the first one whose granules are as
 * long as it is.  So whatever it overlaps begins, on each level, in a granule that
 * it lies in or in the one before.
 * One that waits, and that a waiter of its own covers, needn't be found: what
 * comes later and overlaps it overlaps the waiter.  So of all that wait to change
 * the same block only the last one is ever met.
 */
#ifndef BLOCK_OVERLAP_H
#define BLOCK_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"

struct request;

/* Twice as many as a connection or two have in flight, as a rule. */
#define OVERLAP_BUCKETS 256

#define OVERLAP_LEVELS 5

/* Changes, by their level and the granule that they begin in. */
struct overlap_table {
	struct list_head bucket[OVERLAP_BUCKETS];
	unsigned count[OVERLAP_LEVELS]; /* of each level's */
};

struct overlaps {
	struct overlap_table entered; /* they may go to the driver, or are there */
	struct overlap_table blocked; /* they wait for an earlier one, and no waiter of theirs covers them... */
	struct list_head waiting;     /* ...and all that wait; each of these lists is in the order of arrival */
	uint64_t arrivals;            /* so many have had to wait */
};

void overlap_init(struct overlaps *overlaps);

/* Whether REQUEST, a change, may start; otherwise it waits among an earlier one's `waiters`, until that leaves. */
bool overlap_enter(struct overlaps *overlaps, struct request *request);

/* REQUEST has ended; if it had entered, who waited for it is in `waiters`, to enter again. */
void overlap_leave(struct overlaps *overlaps, struct request *request);

/* OWNER's that wait do so no longer: they are put on TAKEN, by their `link`, in the order of arrival. */
void overlap_take_waiting(struct overlaps *overlaps, const void *owner, struct list_head *taken);

#endif
