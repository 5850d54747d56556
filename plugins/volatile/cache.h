/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's volatile cache over its durable store.  Of a sector that was written
 * since it was last made durable the cache has every version: when the power
 * is cut, the store may have any one of them, or what it had before.
 *
 * Everything is in sectors.  Not thread-safe: the caller has a lock.
 */
#ifndef PLUGINS_VOLATILE_CACHE_H
#define PLUGINS_VOLATILE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct cache_dirty;

struct cache {
	int store;                 /* see store.h; the caller's */
	uint64_t sectors;
	uint64_t seed;
	uint64_t random;
	uint64_t clock;            /* counts the changes */
	uint64_t most;             /* versions that it holds; beyond that it writes back */
	uint64_t versions;
	uint64_t written_back;     /* sectors, for want of room */
	uint32_t *slots;           /* by sector: 1 + its place in `dirty`; 0: only the store has it */
	struct cache_dirty *dirty; /* sectors with versions, in no order */
	uint32_t dirty_count;
	uint32_t dirty_capacity;
};

/* MOST: see above, at least 1.  0 or -ENOMEM, and then there is nothing to close. */
int cache_init(struct cache *cache, int store, uint64_t sectors, uint64_t most, uint64_t seed);

/* Whatever isn't durable is lost.  A cache of zeroes is allowed. */
void cache_destroy(struct cache *cache);

/* What was written last.  0 or -errno, of the store. */
int cache_read(const struct cache *cache, uint64_t sector, uint64_t count, void *data);

/* Another version of each.  0; -ENOMEM or the store's -errno, and then a part is done. */
int cache_write(struct cache *cache, uint64_t sector, uint64_t count, const void *data);

/* The same with zeroes; nothing is kept of what reads as durable zeroes already, unless ALLOCATE. */
int cache_zero(struct cache *cache, uint64_t sector, uint64_t count, bool allocate);

/* Until when changes were made: for cache_flush(). */
uint64_t cache_mark(const struct cache *cache);

/* Makes durable what was changed until MARK, and no later change; of PERCENT of the sectors, chosen by the seed.  0 or -errno. */
int cache_flush(struct cache *cache, uint64_t mark, unsigned percent);

/* Makes the newest versions of these sectors durable.  0 or -errno. */
int cache_write_through(struct cache *cache, uint64_t sector, uint64_t count);

/*
 * The cache loses its power for the CUTth time.  Of PERCENT of its sectors one of the versions gets into the store; which
 * depends on the seed, CUT, the sector and the number of its versions.  How many sectors these were.
 */
uint64_t cache_cut(struct cache *cache, uint64_t cut, unsigned percent);

#endif
