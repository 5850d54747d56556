/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers that depend on nothing but a seed: splitmix64. */
#ifndef PLUGINS_VOLATILE_MIX_H
#define PLUGINS_VOLATILE_MIX_H

#include <stdint.h>

static inline uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* The next one of a sequence. */
static inline uint64_t mix_next(uint64_t *state)
{
	return mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* The one that belongs to A and B, whatever was asked for before. */
static inline uint64_t mix_of(uint64_t a, uint64_t b)
{
	uint64_t state = mix(a) ^ b;

	return mix_next(&state);
}

#endif
