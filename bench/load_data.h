/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the generator writes: the first 16 bytes of each 4 KiB tell which
 * 4 KiB they are and from which seed, so that a block that is missing, old or
 * in the wrong place shows, at a price that doesn't hide the server's.
 */
#ifndef BENCH_LOAD_DATA_H
#define BENCH_LOAD_DATA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STAMP_SIZE 16
#define STAMP_EVERY 4096

static inline void stamp_make(uint64_t stamp[2], uint64_t offset, uint64_t seed)
{
	stamp[0] = offset;
	stamp[1] = (offset ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void stamp_block(uint8_t *block, uint32_t length, uint64_t offset, uint64_t seed)
{
	uint64_t stamp[2];

	for (uint32_t at = 0; at < length; at += STAMP_EVERY) {
		stamp_make(stamp, offset + at, seed);
		memcpy(block + at, stamp, STAMP_SIZE);
	}
}

static inline bool stamp_matches(const uint8_t *at, uint64_t offset, uint64_t seed)
{
	uint64_t stamp[2];

	stamp_make(stamp, offset, seed);
	return memcmp(at, stamp, STAMP_SIZE) == 0;
}

/* Where the stamp AT says that it belongs. */
static inline uint64_t stamp_offset(const uint8_t *at)
{
	uint64_t offset;

	memcpy(&offset, at, sizeof(offset));
	return offset;
}

#endif
