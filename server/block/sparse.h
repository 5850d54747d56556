/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sparse reads.  Of a READ whose owner can be told of holes, the driver is first asked where it holds data, and then
 * only for that; what isn't data becomes segments at NULL, as a driver that lends its memory has them.  Asking costs,
 * on files, a hop to a thread and back: where it finds nothing it is done less and less often.
 */
#ifndef BLOCK_SPARSE_H
#define BLOCK_SPARSE_H

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct request;

/* Smaller ones aren't worth it. */
#define SPARSE_LEAST (64u << 10)

/* What a queue knows.  Data that has become a hole since is read: that is slower, and as right. */
struct sparse {
	uint64_t data, data_end; /* a range that held nothing else */
	unsigned vain;           /* looks in a row that found no hole... */
	unsigned pass;           /* ...for which so many reads don't look */
};

/* Whether REQUEST, which came into QUEUE, is to look before it reads. */
bool sparse_wanted(struct queue *queue, const struct request *request);

/* The EXTENTS request that does so, a part of REQUEST's; NULL: no memory. */
struct request *sparse_look(struct request *request);

/* LOOK is back: WHOLE knows where it has to read, and has come to its first data or its end; or reads all. */
void sparse_looked(struct request *whole, struct request *look);

/* How many of the LENGTH bytes that REQUEST would read next are data. */
uint64_t sparse_length(const struct request *request, uint64_t length);

/* REQUEST goes on behind the hole that it has come to, if it has. */
void sparse_skip(struct request *request);

/* REQUEST was read: its holes become segments of their own. */
void sparse_finish(struct request *request);

#endif
