/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the engine: busy polling.  While it polls, a few receives are tried by
 * hand again and again, so that neither a wake-up nor deferred work stands
 * between a client's request and its answer.
 */
#ifndef ENGINE_BUSY_POLL_H
#define ENGINE_BUSY_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/engine/engine.h"

/* More receives than that wait elsewhere: each look at one is a system call. */
#define BUSY_POLL_MOST 4

struct busy_receive {
	struct engine_op *op;
	int fd;
	void *buffer;
	size_t size;
	uint64_t since; /* when it was added, in ns */
};

/* Empty when zero. */
struct busy_poll {
	struct busy_receive receives[BUSY_POLL_MOST];
	unsigned count;
};

/* False when there is no room. */
bool busy_poll_add(struct busy_poll *poll, const struct busy_receive *receive);

/* Tries each once until one is over: true, and its end in *OP and *RESULT.  Counts itself in STATS. */
bool busy_poll_try(struct busy_poll *poll, struct engine_op **op, int *result, struct engine_stats *stats);

/* Takes out one that waits since before UNTIL; false when there is none. */
bool busy_poll_take_old(struct busy_poll *poll, uint64_t until, struct busy_receive *ret);

/* Takes out the one of OP, if it is here. */
bool busy_poll_remove(struct busy_poll *poll, const struct engine_op *op);

/* Whether polling pays, as far as it can be told; at the beginning zero. */
struct poll_luck {
	unsigned misses;  /* more than hits, of late */
	unsigned pause;   /* so many times it isn't polled... */
	unsigned longer;  /* ...and this is how many it was, the last time */
};

/* Something CAME while it was polled, or nothing did: when that is the rule, there is a pause. */
void poll_luck_count(struct poll_luck *luck, bool came);

/* Once for each time that one could poll: whether to. */
bool poll_luck_try(struct poll_luck *luck);

/*
 * How long to poll the next time, after a time of NOW: longer, up to MOST, when
 * something CAME, else shorter, down to a probe that lets it grow again.
 */
uint64_t busy_poll_adapt(uint64_t now, uint64_t most, bool came);

#endif
