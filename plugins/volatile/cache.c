/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/volatile/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "plugins/volatile/mix.h"
#include "plugins/volatile/store.h"

/* Sectors that are looked at together, and bits. */
#define BATCH 64

struct version {
	struct version *older;
	uint64_t time; /* cache->clock when it was made */
	uint8_t data[STORE_SECTOR];
};

struct cache_dirty {
	uint64_t sector;
	struct version *newest; /* never NULL */
};

static const uint8_t zeroes[STORE_SECTOR];

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int cache_init(struct cache *cache, int store, uint64_t sectors, uint64_t most, uint64_t seed)
{
	*cache = (struct cache){ .store = store, .sectors = sectors, .seed = seed, .random = mix(seed), .most = most };
	/* Address space, of which pages are taken only where there are changes. */
	cache->slots = mmap(NULL, sectors * sizeof(*cache->slots), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache->slots == MAP_FAILED) {
		cache->slots = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Frees VERSION and all that are older. */
static void drop_versions(struct cache *cache, struct version *version)
{
	while (version) {
		struct version *older = version->older;

		free(version);
		cache->versions--;
		version = older;
	}
}

static struct cache_dirty *find(const struct cache *cache, uint64_t sector)
{
	uint32_t slot = cache->slots[sector];

	return slot ? &cache->dirty[slot - 1] : NULL;
}

/* Takes an entry, whose versions are gone, out of the table: the last one gets its place. */
static void remove_dirty(struct cache *cache, struct cache_dirty *dirty)
{
	struct cache_dirty *last = &cache->dirty[--cache->dirty_count];

	cache->slots[dirty->sector] = 0;
	if (dirty != last) {
		*dirty = *last;
		cache->slots[dirty->sector] = (uint32_t)(dirty - cache->dirty) + 1;
	}
}

static void drop_all(struct cache *cache)
{
	while (cache->dirty_count) {
		struct cache_dirty *dirty = &cache->dirty[cache->dirty_count - 1];

		drop_versions(cache, dirty->newest);
		remove_dirty(cache, dirty);
	}
}

void cache_destroy(struct cache *cache)
{
	if (!cache->slots)
		return;
	drop_all(cache);
	free(cache->dirty);
	munmap(cache->slots, cache->sectors * sizeof(*cache->slots));
	cache->slots = NULL;
}

/* The store gets VERSION, one of DIRTY's, which is forgotten with all that are older.  DIRTY may be another one's afterwards. */
static int settle(struct cache *cache, struct cache_dirty *dirty, struct version *version)
{
	struct version **link = &dirty->newest;
	int result = store_write(cache->store, dirty->sector, version->data);

	if (result < 0)
		return result;
	while (*link != version)
		link = &(*link)->older;
	*link = NULL;
	drop_versions(cache, version);
	if (!dirty->newest)
		remove_dirty(cache, dirty);
	return 0;
}

static int write_back_one(struct cache *cache)
{
	struct cache_dirty *dirty = &cache->dirty[mix_next(&cache->random) % cache->dirty_count];
	int result = settle(cache, dirty, dirty->newest);

	if (result == 0)
		cache->written_back++;
	return result;
}

static struct cache_dirty *add_dirty(struct cache *cache, uint64_t sector)
{
	if (cache->dirty_count == cache->dirty_capacity) {
		uint32_t capacity = cache->dirty_capacity ? 2 * cache->dirty_capacity : 256;
		struct cache_dirty *more = realloc(cache->dirty, capacity * sizeof(*more));

		if (!more)
			return NULL;
		cache->dirty = more;
		cache->dirty_capacity = capacity;
	}
	cache->dirty[cache->dirty_count] = (struct cache_dirty){ .sector = sector };
	cache->slots[sector] = ++cache->dirty_count;
	return &cache->dirty[cache->dirty_count - 1];
}

/* One more version of SECTOR. */
static int add_version(struct cache *cache, uint64_t sector, const uint8_t *data)
{
	struct version *version;
	struct cache_dirty *dirty;

	while (cache->versions >= cache->most) {
		int result = write_back_one(cache);

		if (result < 0)
			return result;
	}
	version = malloc(sizeof(*version));
	dirty = find(cache, sector);
	if (version && !dirty)
		dirty = add_dirty(cache, sector);
	if (!version || !dirty) {
		free(version);
		return -ENOMEM;
	}
	version->older = dirty->newest;
	version->time = cache->clock;
	memcpy(version->data, data, STORE_SECTOR);
	dirty->newest = version;
	cache->versions++;
	return 0;
}

int cache_read(const struct cache *cache, uint64_t sector, uint64_t count, void *data)
{
	int result = store_read(cache->store, sector, count, data);

	for (uint64_t i = 0; i < count && result == 0; i++) {
		const struct cache_dirty *dirty = find(cache, sector + i);

		if (dirty)
			memcpy((uint8_t *)data + i * STORE_SECTOR, dirty->newest->data, STORE_SECTOR);
	}
	return result;
}

int cache_write(struct cache *cache, uint64_t sector, uint64_t count, const void *data)
{
	int result = 0;

	cache->clock++;
	for (uint64_t i = 0; i < count && result == 0; i++)
		result = add_version(cache, sector + i, (const uint8_t *)data + i * STORE_SECTOR);
	return result;
}

/* Which of COUNT sectors, at most BATCH, aren't durable zeroes: bits in *WHICH. */
static int find_data(const struct cache *cache, uint64_t sector, uint64_t count, uint64_t *which)
{
	uint8_t durable[BATCH * STORE_SECTOR];
	int result = store_read(cache->store, sector, count, durable);

	*which = 0;
	for (uint64_t i = 0; i < count && result == 0; i++) {
		if (find(cache, sector + i) || memcmp(durable + i * STORE_SECTOR, zeroes, STORE_SECTOR) != 0)
			*which |= UINT64_C(1) << i;
	}
	return result;
}

static int zero_batch(struct cache *cache, uint64_t sector, uint64_t count, bool allocate)
{
	uint64_t which = UINT64_MAX;
	/* First of all: while versions are added others are written back. */
	int result = allocate ? 0 : find_data(cache, sector, count, &which);

	for (uint64_t i = 0; i < count && result == 0; i++) {
		if (which & UINT64_C(1) << i)
			result = add_version(cache, sector + i, zeroes);
	}
	return result;
}

int cache_zero(struct cache *cache, uint64_t sector, uint64_t count, bool allocate)
{
	int result = 0;

	cache->clock++;
	for (uint64_t done = 0; done < count && result == 0; done += BATCH)
		result = zero_batch(cache, sector + done, least(count - done, BATCH), allocate);
	return result;
}

uint64_t cache_mark(const struct cache *cache)
{
	return cache->clock;
}

/* DIRTY's newest version of those that were made until MARK; NULL when all are newer. */
static struct version *version_at(const struct cache_dirty *dirty, uint64_t mark)
{
	struct version *version = dirty->newest;

	while (version && version->time > mark)
		version = version->older;
	return version;
}

int cache_flush(struct cache *cache, uint64_t mark, unsigned percent)
{
	uint64_t seed = mix_of(cache->seed, mark);
	int result = 0;

	/* Backwards: what takes the place of one that is removed has been looked at. */
	for (uint32_t i = cache->dirty_count; i-- > 0 && result == 0;) {
		struct cache_dirty *dirty = &cache->dirty[i];
		struct version *version = version_at(dirty, mark);

		if (version && mix_of(seed, dirty->sector) % 100 < percent)
			result = settle(cache, dirty, version);
	}
	return result;
}

int cache_write_through(struct cache *cache, uint64_t sector, uint64_t count)
{
	int result = 0;

	for (uint64_t i = 0; i < count && result == 0; i++) {
		struct cache_dirty *dirty = find(cache, sector + i);

		if (dirty)
			result = settle(cache, dirty, dirty->newest);
	}
	return result;
}

/* One of DIRTY's versions. */
static const struct version *choose(const struct cache_dirty *dirty, uint64_t random)
{
	const struct version *version = dirty->newest;
	uint64_t count = 0;

	for (const struct version *each = version; each; each = each->older)
		count++;
	for (uint64_t newer = random % count; newer > 0; newer--)
		version = version->older;
	return version;
}

uint64_t cache_cut(struct cache *cache, uint64_t cut, unsigned percent)
{
	uint64_t seed = mix_of(cache->seed, cut);
	uint64_t kept = 0;

	for (uint32_t i = 0; i < cache->dirty_count; i++) {
		const struct cache_dirty *dirty = &cache->dirty[i];
		uint64_t random = mix_of(seed, dirty->sector);

		/* What the store has no room for is lost like the rest. */
		if (random % 100 < percent &&
		    store_write(cache->store, dirty->sector, choose(dirty, random / 100)->data) == 0)
			kept++;
	}
	drop_all(cache);
	return kept;
}
