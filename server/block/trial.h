/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of two ways to do the same is the quicker: both are tried for a short
 * while, one after the other, the better one is used, and after a pause, which
 * grows as long as the answer stays the same, they are tried again.  Pure.
 * What counts is how long each thing took: with as many under way at a time,
 * that is also how many there are in a second.
 */
#ifndef BLOCK_TRIAL_H
#define BLOCK_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

struct trial {
	unsigned way;       /* to go now: 0, which is the one to begin with and preferred, or 1 */
	bool trying;        /* that is found out just now; else it is used until... */
	uint64_t again;     /* ...then; CLOCK_MONOTONIC, ns */
	uint64_t pause;     /* the last one; ns */
	unsigned best;      /* what was found out last */
	unsigned tried;     /* ways, this time */
	uint64_t since;     /* when this one was gone first; ns */
	uint64_t batch;     /* what was measured in this batch; ns */
	unsigned count;     /* how often */
	unsigned batches;   /* before it, this way... */
	uint64_t sum;       /* ...what these took... */
	uint64_t worst;     /* ...and the worst of them; ns */
	uint64_t took[2];   /* what a way's batches took without the worst; ns */
};

void trial_init(struct trial *trial);

/* Something that came at START took until NOW; CLOCK_MONOTONIC, ns.  It went the way that was to go when it came. */
void trial_add(struct trial *trial, uint64_t start, uint64_t now);

#endif
