/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver tells about a disk is checked like what a client sends. */
#ifndef BLOCK_GEOMETRY_H
#define BLOCK_GEOMETRY_H

#include <stdint.h>

#define GEOMETRY_SEGMENTS 1024 /* IOV_MAX */
#define GEOMETRY_DEPTH 128

struct platter_error;
struct platter_geometry;

/* Checks what a driver's open returned and fills in the defaults of what it left at 0.  -EINVAL, with the reason. */
int geometry_check(struct platter_geometry *geometry, struct platter_error *error);

/* Checks a size that a driver tells at any time, of a disk whose smallest block is MIN_BLOCK.  -EINVAL, with the reason. */
int geometry_check_size(uint64_t bytes, uint32_t min_block, struct platter_error *error);

#endif
