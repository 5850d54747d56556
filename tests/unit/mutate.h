/* SPDX-License-Identifier: BSD-2-Clause */
/* Spoils texts for parsers: the same ones each time, and others with each PLATTER_TEST_SEED. */
#ifndef UNIT_MUTATE_H
#define UNIT_MUTATE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t mutate_seed(void)
{
	const char *seed = getenv("PLATTER_TEST_SEED");

	return 0x9e3779b97f4a7c15u * (1 + (seed ? strtoull(seed, NULL, 10) : 0)) | 1;
}

/* xorshift64 */
static inline uint64_t mutate_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A copy of TEXT with up to eight bytes changed, taken out, or repeated; of exactly its size, for the sanitizer. */
static inline char *mutate(const char *text, uint64_t *state)
{
	static const char signs[] = "\"\\\n\r\t :#=[]*-_/.,a\x80";
	size_t length = strlen(text), changes = mutate_random(state) % 8 + 1, at;
	char *copy = strdup(text);

	for (; copy && length > 0 && changes > 0; changes--) {
		at = mutate_random(state) % length;
		switch (mutate_random(state) % 3) {
		case 0:
			copy[at] = signs[mutate_random(state) % (sizeof(signs) - 1)];
			break;
		case 1:
			memmove(copy + at, copy + at + 1, length-- - at);
			break;
		default:
			memmove(copy + at, copy + mutate_random(state) % (at + 1), mutate_random(state) % (length - at + 1));
			break;
		}
	}
	return copy;
}

#endif
