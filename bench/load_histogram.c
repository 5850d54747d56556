/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/load_histogram.h"

/* The middle of the values that BUCKET counts. */
static uint64_t bucket_value(unsigned bucket)
{
	unsigned octave = bucket / HISTOGRAM_STEPS;
	uint64_t step = bucket % HISTOGRAM_STEPS;

	if (octave == 0)
		return step;
	return ((HISTOGRAM_STEPS + step) << (octave - 1)) + (UINT64_C(1) << (octave - 1)) / 2;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
	uint64_t wanted = (uint64_t)((double)histogram->total * quantile);
	uint64_t seen = 0;
	uint64_t value;

	for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen > wanted) {
			value = bucket_value(bucket);
			return value < histogram->max ? value : histogram->max;
		}
	}
	return histogram->max;
}
