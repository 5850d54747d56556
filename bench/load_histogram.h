/* SPDX-License-Identifier: BSD-2-Clause */
/* Latencies, counted in 256 linear steps an octave: known to 0.4 %, and adding one costs a few instructions. */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 8
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
	uint64_t total;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_STEPS)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
	return (shift + 1) * HISTOGRAM_STEPS + ((unsigned)(value >> shift) & (HISTOGRAM_STEPS - 1));
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->total++;
	histogram->buckets[histogram_bucket(value)]++;
	if (value > histogram->max)
		histogram->max = value;
}

/* The value that QUANTILE (0 to 1) of all values don't exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
