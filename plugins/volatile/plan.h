/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is to become of a request, decided when it arrives: how long it takes,
 * in which pieces it is done, and whether it fails.  This depends on the seed
 * and on how many requests came before, and on nothing else.
 */
#ifndef PLUGINS_VOLATILE_PLAN_H
#define PLUGINS_VOLATILE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* As the module's parameters say. */
struct plan_rules {
	uint64_t delay_us;          /* a request takes up to so long */
	uint32_t pieces;            /* and is done in up to so many steps; 0: 1 */
	uint32_t fail_per_million;
	uint32_t short_per_million;
};

struct plan {
	uint64_t wait_ns;     /* before each piece; 0: all are done at once */
	uint64_t sectors;     /* of the request */
	uint64_t whole;       /* of these so many, from the first, are done */
	uint32_t pieces;
	uint32_t first_piece; /* where the pieces begin, to go round... */
	bool backwards;       /* ...this way */
	bool fails;           /* it ends with an error: it was shortened, or nothing of it was done */
	uint8_t percent;      /* of a FLUSH: sectors that are made durable */
};

/* For the request NUMBER, of SECTORS; a FLUSH has none. */
void plan_make(struct plan *plan, const struct plan_rules *rules, uint64_t seed, uint64_t number, uint64_t sectors);

/* The sectors of the request that are done as the STEPth, possibly none: how many, and the FIRST. */
uint64_t plan_step(const struct plan *plan, uint32_t step, uint64_t *first);

#endif
