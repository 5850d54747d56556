/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of the same data take effect in the order of their arrival, over all
 * connections of a disk: the later one waits until the earlier one has ended,
 * so that a request of a client that has gone cannot undo what the client sent
 * again on another connection, and nothing that is merged or sorted overtakes
 * what it overlaps.
 *
 * Changes that wait for nobody don't overlap each other.  Short ones, these and
 * those that wait, are found by the granule of the disk that they begin in: what
 * overlaps one of them begins there, in the granule before or in that of its end.
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

/* Changes: up to a granule long, by where they begin; and longer ones. */
struct overlap_table {
	struct list_head bucket[OVERLAP_BUCKETS];
	struct list_head longer;
	unsigned count; /* of all */
};

struct overlaps {
	struct overlap_table entered; /* they may go to the driver, or are there */
	struct overlap_table blocked; /* they wait for an earlier one, and no waiter covers them; each list in the order of arrival */
	struct list_head waiting;     /* all that wait for an earlier one, likewise */
	uint64_t arrivals;            /* so many have had to wait */
};

void overlap_init(struct overlaps *overlaps);

/* Whether REQUEST, a change, may start; otherwise it waits among an earlier one's `waiters`, until that leaves. */
bool overlap_enter(struct overlaps *overlaps, struct request *request);

/* REQUEST has ended; if it had entered, who waited for it is in `waiters`, to enter again. */
void overlap_leave(struct overlaps *overlaps, struct request *request);

/* Those of OWNER's that wait do so no longer: they go behind what is on TAKEN, in the order of arrival, by their `link`. */
void overlap_take_waiting(struct overlaps *overlaps, const void *owner, struct list_head *taken);

#endif
