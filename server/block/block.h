/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One reactor's part of the block layer: its buffers, requests, memory budget
 * and the queues that have something to dispatch.  It does no I/O and knows no
 * engine: the reactor calls block_dispatch() once a turn.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/budget.h"
#include "server/block/buffer.h"

struct request;

struct block {
	unsigned index;                 /* the reactor's number */
	struct buffers buffers;
	struct budget budget;
	struct request *free_requests;  /* newest first */
	unsigned free_request_count, unused_requests;
	uint64_t allocations;           /* requests taken from the allocator */
	uint64_t requests;              /* that clients sent, so far */
	struct list_head dirty;         /* queues to dispatch, in the order they became so */
	struct list_head running;       /* requests that drivers have, the oldest first */
	struct list_head plugged;       /* queues that wait for more to merge */
	uint32_t ticks;                 /* of block_watch(), about one a second */
	/*
	 * CLOCK_MONOTONIC, ns, when this thread last looked at the clock: when it woke up, which is the engine's to
	 * set; before what was done without waiting is completed; and when a large request ends.
	 */
	uint64_t now;

	/* Completed on other threads, newest first; WAKE, any thread, has block_collect() called. */
	_Atomic(struct request *) remote;
	void (*wake)(struct block *block);

	/* Has block_unplug() called at NS, CLOCK_MONOTONIC, or earlier. */
	void (*timer)(struct block *block, uint64_t ns);
};

void block_init(struct block *block, unsigned index, uint64_t memory_limit);

/* No request is in use. */
void block_destroy(struct block *block);

/* The calling thread's own part, set once; NULL on threads that have none. */
void block_set_self(struct block *block);
struct block *block_self(void);

/* Starts what the dirty queues hold; some of it may be left for the next turn: then block_has_work(). */
void block_dispatch(struct block *block);
bool block_has_work(const struct block *block);

/* For queue.c: a queue is plugged until NS. */
void block_plug(struct block *block, uint64_t ns);

/* Has the queues dispatched whose time is over, as block->now says. */
void block_unplug(struct block *block);

/* Brings `now` up to date. */
void block_look_at_clock(struct block *block);

/* Finishes the requests that other threads completed. */
void block_collect(struct block *block);

/* Housekeeping, about once a second as long as block_holds_memory(): gives back what nobody used meanwhile. */
void block_trim(struct block *block);
bool block_holds_memory(const struct block *block);

/* Complains, about once a second, of requests that a driver has had for SECONDS; 0: never. */
void block_watch(struct block *block, unsigned seconds);
/* Whether there is anything to watch. */
bool block_has_running(const struct block *block);

#endif
