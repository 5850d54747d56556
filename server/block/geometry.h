/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_GEOMETRY_H
#define BLOCK_GEOMETRY_H

struct platter_error;
struct platter_geometry;

/* Checks what a driver's open returned and fills in the defaults of what it left at 0. */
int geometry_check(struct platter_geometry *geometry, struct platter_error *error);

#endif
