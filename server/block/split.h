/* SPDX-License-Identifier: BSD-2-Clause */
/* Splitting: a request that exceeds its driver's limits goes there in parts, one after the other. */
#ifndef BLOCK_SPLIT_H
#define BLOCK_SPLIT_H

#include <platter/disk.h>

struct request;

/* What the driver takes of OP at once, whatever its segments; 0: any length. */
uint64_t split_limit(unsigned op, const struct platter_geometry *geometry);

/* How much of a request of this kind, from ISSUED on, the driver takes at once. */
uint64_t split_length(const struct request *request, const struct platter_geometry *geometry);

/* The next part of WHOLE, as a request of its own with the segments of its range; NULL when there is no memory. */
struct request *split_part(struct request *whole, uint64_t length);

#endif
