/* SPDX-License-Identifier: BSD-2-Clause */
/* platter-block's command line. */
#ifndef BENCH_BLOCK_OPTIONS_H
#define BENCH_BLOCK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct block_options {
	const char *module; /* the file; NULL: none */
	const char *size;   /* of the disks */
	bool write, random, json;
	unsigned depth, rounds;
	uint64_t count; /* requests of a round */
	uint64_t seed;
};

/* Ends the program when the command line is wrong or asked for help. */
void block_options_parse(struct block_options *options, int argc, char **argv);

#endif
