/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share: the input, byte after byte; the end that a
 * broken rule makes; and a clock that only the input moves, so that an input
 * does the same each time.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A target: what libFuzzer, or replay.c, calls with each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A rule is broken: says which and aborts, so that whoever gave the input keeps it. */
#define fuzz_check(condition, ...)               \
	do {                                     \
		if (!(condition))                \
			fuzz_fail(__VA_ARGS__); \
	} while (0)
void fuzz_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* calloc() that never fails. */
void *fuzz_alloc(size_t size);

/* CLOCK_MONOTONIC as the server sees it; 0: as it is, for whoever runs the target. */
extern uint64_t fuzz_now;

/* The input, or what is left of it. */
struct input {
	const uint8_t *bytes;
	size_t left;
};

/* The next COUNT bytes, big-endian; behind the end there are zeroes. */
static inline uint64_t input_number(struct input *input, unsigned count)
{
	uint64_t number = 0;

	while (count--) {
		number = number << 8 | (input->left ? *input->bytes : 0);
		input->bytes += input->left ? 1 : 0;
		input->left -= input->left ? 1 : 0;
	}
	return number;
}

static inline uint8_t input_byte(struct input *input)
{
	return (uint8_t)input_number(input, 1);
}

#endif
