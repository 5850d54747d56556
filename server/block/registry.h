/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock of the tables that administrators change and everybody reads:
 * drivers, devices, disks and exports.  It is held for moments, never across a driver's
 * call; a disk's open lock may be taken inside it.
 */
#ifndef BLOCK_REGISTRY_H
#define BLOCK_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

void registry_lock(void);
void registry_unlock(void);

/* Lets go of the lock until registry_changed() is called, or it is UNTIL (CLOCK_MONOTONIC, ns). */
void registry_wait(uint64_t until);
void registry_changed(void);

/* How long somebody waits for users to leave. */
struct patience {
	uint64_t until;                   /* CLOCK_MONOTONIC, ns; 0: not at all */
	bool (*give_up)(void *argument);  /* asked about once a second; NULL: never */
	void *argument;
};

/* None at all. */
#define PATIENCE_NONE (&(struct patience){ .until = 0 })

/* Whether there is any left. */
bool patience_lasts(const struct patience *patience);
/* When to ask again, at the latest. */
uint64_t patience_step(const struct patience *patience);

#endif
