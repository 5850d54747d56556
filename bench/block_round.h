/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to a disk through the daemon's block layer, as a session would give
 * them, but without one: taken, queued in batches, dispatched to the driver,
 * completed and given back.
 */
#ifndef BENCH_BLOCK_ROUND_H
#define BENCH_BLOCK_ROUND_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct buffer;
struct disk;

/* Bytes of one request. */
#define ROUND_BLOCK 4096u

struct round {
	struct block *block;    /* the calling thread's */
	struct disk *disk;      /* open; its driver completes inside submit */
	struct software_queue *software; /* as if all came from one connection */
	struct buffer *payload; /* ROUND_BLOCK bytes, which all writes write */
	bool write, random;
	unsigned depth;         /* requests of a batch */
	uint64_t count;         /* requests of a round */
	uint64_t random_state;  /* not 0 */
	uint64_t next_block;
	uint64_t asked, ended, failed; /* requests so far */
};

/* Runs one round; its CPU time in ns.  bench/block_cost.py counts in this function, by its name, and in what it calls. */
uint64_t block_round(struct round *round);

/* Writes the first BYTES once: from then on their memory is there, and the requests and buffers, too. */
void block_round_fill(struct round *round, uint64_t bytes);

#endif
