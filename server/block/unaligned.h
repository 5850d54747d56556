/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that aren't multiples of their disk's minimum block size, for disks that emulate that ("unaligned=emulate").
 * Each is done by requests that are: a change of a part of a block reads the block and writes it whole, which other
 * changes of it wait for, as they do for any that overlaps them.
 */
#ifndef BLOCK_UNALIGNED_H
#define BLOCK_UNALIGNED_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct disk;
struct request;

/* Whether OFFSET and LENGTH need that on DISK, which is open. */
bool unaligned_concerns(const struct disk *disk, uint64_t offset, uint64_t length);

/* The memory that it takes, beside the request's own. */
uint64_t unaligned_footprint(const struct disk *disk, uint64_t length);

/* As disk_submit(). */
void unaligned_submit(struct disk *disk, struct block *block, struct request *request);

/* For the queue: the READ of an edge of WHOLE, a part of it; NULL: no memory. */
struct request *unaligned_edge(struct request *whole);

/* That READ has succeeded: what WHOLE doesn't change of the block is put beside what it does. */
void unaligned_edge_read(struct request *whole, const struct request *edge);

#endif
