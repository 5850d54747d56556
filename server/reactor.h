/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reactors: one thread, one engine, one part of the block layer and the
 * connections that live there.  Reactors share nothing; they talk by messages.
 */
#ifndef SERVER_REACTOR_H
#define SERVER_REACTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/list.h"
#include "server/block/block.h"
#include "server/engine/engine.h"

struct reactor {
	unsigned index;
	pthread_t thread;
	struct engine *engine;
	struct block block;
	struct engine_message collect;  /* requests that other threads completed */

	struct list_head connections;
	atomic_uint load;               /* their number, for whoever looks for the least loaded */
	struct list_head input;         /* connections whose input is to be parsed this turn */
	struct list_head output;        /* connections with something to send */
	struct list_head receive;       /* connections that want input */
	struct list_head transfers;     /* of files: for the ring, ... */
	struct list_head commit;        /* ...disks with buffered writes for the pool... */
	struct list_head finished;      /* ...and what was done at once: see host/fd_io.c */

	struct engine_op tick_op;
	bool ticking;
	struct engine_op unplug_op;     /* block_unplug()'s timer... */
	bool unplugging;
	uint64_t unplug_at;             /* ...which is due then, CLOCK_MONOTONIC, ns */
	uint64_t ticks;                 /* of a second each; they stand still when nothing needs them */

	struct engine_message stop, nudge;
	atomic_bool nudged;
	bool stopping;                  /* ends when the last connection of all has gone */
	bool stopped;                   /* has ended */
};

struct reactor_config {
	unsigned count;
	uint64_t memory_limit;          /* bytes of requests' data, of each reactor */
	unsigned watchdog_seconds;      /* a driver that has a request for longer is complained of; 0: never */
	struct engine_config engine;
};

/*
 * Makes them all; the first one belongs to the calling thread, the others run
 * at once on threads of their own.  -errno: see engine_refusal().
 */
int reactors_start(const struct reactor_config *config);

/* Tells how many there are, and how they wait. */
void reactors_log(void);

/* Runs the calling thread's reactor until it was told to stop and has nothing left. */
void reactor_run(struct reactor *reactor);

/* Asks all reactors to close their connections in good order and to end. */
void reactors_stop(void);

/* The last connection has gone: has reactors that are asked to end look again. */
void reactors_nudge(void);

/*
 * Keeps the reactors running, so that messages to them are heard, until
 * reactors_release().  False when they are ending already.  Any thread.
 */
bool reactors_hold(void);
void reactors_release(void);

/*
 * Has FN run once on each reactor, one after the other in their order, and
 * waits for all of them.  Not on a reactor's thread; they are held.
 */
void reactors_call(void (*fn)(struct reactor *reactor, void *argument), void *argument);

/* The same on REACTOR alone. */
void reactor_call(struct reactor *reactor, void (*fn)(struct reactor *reactor, void *argument), void *argument);

/* The same with its part of the block layer, for disk_init(): on one reactor or on DISK_EVERY_REACTOR. */
void reactors_call_blocks(unsigned index, void (*fn)(struct block *block, void *argument), void *argument);

/* After reactor_run() on the first: waits for the others.  Messages may still be posted, though nobody hears them. */
void reactors_finish(void);
/* Frees them all.  Harmless if there are none. */
void reactors_destroy(void);

unsigned reactor_count(void);
struct reactor *reactor_at(unsigned index);
struct reactor *reactor_least_loaded(void);

/* The calling thread's; NULL on other threads. */
struct reactor *reactor_self(void);

/* Housekeeping is needed: conn_tick() is called within a second or so. */
void reactor_need_tick(struct reactor *reactor);

#endif
