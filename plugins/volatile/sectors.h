/* SPDX-License-Identifier: BSD-2-Clause */
/* Does a part of a request that has sectors, in a cache. */
#ifndef PLUGINS_VOLATILE_SECTORS_H
#define PLUGINS_VOLATILE_SECTORS_H

#include <stdbool.h>

#include <platter/disk.h>

#include "plugins/volatile/cache.h"

/* COUNT sectors of a READ, WRITE, TRIM or ZEROES, from its FIRST on; durable with FUA, if HONEST.  0 or -errno. */
int sectors_do(struct cache *cache, struct platter_request *request, uint64_t first, uint64_t count, bool honest);

#endif
