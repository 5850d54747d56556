/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks as clients may rely on them: what was dirtied since one was set.  It
 * keeps the disk's content of then, and holds what is told against that.
 */
#ifndef FUZZ_DIRT_H
#define FUZZ_DIRT_H

#include <stdbool.h>
#include <stdint.h>

struct ask;
struct answer_status;
struct world;

/* Marks that an input sets; after that it sets none. */
#define DIRT_MOST 8
/* Names that they have: m0, m1... */
#define DIRT_NAMES 2

struct dirt {
	unsigned name;
	bool set;          /* new clients can select it */
	uint32_t since;    /* by the shadow's time */
	uint32_t lost;     /* when everything became dirty, likewise; 0: it didn't */
	uint64_t size;     /* of the disk when it was set... */
	uint8_t *snapshot; /* ...and what that had */
};

struct dirts {
	struct dirt list[DIRT_MOST];
	unsigned count;
};

/* Sets the mark, or takes it away, as an administrator. */
void dirt_set(struct world *world, unsigned name);
void dirt_unset(struct world *world, unsigned name);

/* There is another medium. */
void dirt_lose(struct world *world);

/* The one that has that name now, or NULL. */
struct dirt *dirt_find(struct world *world, unsigned name);

/* What STATUS, of ASK's answer, tells of the mark: whether it may be that. */
void dirt_check(const struct world *world, const struct dirt *dirt, const struct ask *ask, const struct answer_status *status);

void dirt_free_all(struct world *world);

#endif
