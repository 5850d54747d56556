/* SPDX-License-Identifier: BSD-2-Clause */
/* platter-block's command line. */
#ifndef BENCH_BLOCK_OPTIONS_H
#define BENCH_BLOCK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_MAX_SUBJECTS 8
#define BLOCK_MAX_SETTINGS 16

struct block_options {
	const char *module; /* the file; NULL: none */
	const char *schedulers[BLOCK_MAX_SUBJECTS]; /* of disks that do nothing; none: it is the RAM disk */
	unsigned scheduler_count;
	const char *settings[BLOCK_MAX_SETTINGS]; /* NAME=VALUE, of each disk's queue */
	unsigned setting_count;
	const char *size;   /* of the disks */
	bool write, random, json;
	unsigned depth, rounds;
	uint64_t count; /* requests of a round */
	uint64_t seed;
};

/* Ends the program when the command line is wrong or asked for help. */
void block_options_parse(struct block_options *options, int argc, char **argv);

#endif
