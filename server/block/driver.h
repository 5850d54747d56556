/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers there are. */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <stddef.h>

#include <platter/driver.h>

/* Enters the drivers that are linked in into the device table; -errno. */
int driver_init(void);

/* NULL when there is none of this name. */
const struct platter_driver *driver_find(const char *name);

/* The INDEX-th, in the order of their names; NULL past the last. */
const struct platter_driver *driver_at(size_t index);

#endif
