/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "plugins/ram/stream.h"
#include "tests/unit/unit.h"

#define LINE 64

/* Copies BYTES between two pieces of exactly the memory they need, so that the sanitizer sees a step beside them. */
static void copies(size_t to_offset, size_t from_offset, size_t bytes)
{
	uint8_t *to = malloc(to_offset + bytes);
	uint8_t *from = malloc(from_offset + bytes);

	assert_non_null(to);
	assert_non_null(from);
	memset(to, 0xee, to_offset);
	for (size_t i = 0; i < bytes; i++)
		from[from_offset + i] = (uint8_t)(i * 7 + 1);
	stream_copy(to + to_offset, from + from_offset, bytes);
	for (size_t i = 0; i < to_offset; i++)
		assert_int_equal(to[i], 0xee);
	assert_memory_equal(to + to_offset, from + from_offset, bytes);
	free(to);
	free(from);
}

static void test_every_alignment_of_both_sides(void **state)
{
	(void)state;
	for (size_t to = 0; to < LINE; to++) {
		for (size_t from = 0; from < LINE; from++)
			copies(to, from, 3 * LINE + 5);
	}
}

static void test_every_short_length(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes < 4 * LINE; bytes++) {
		copies(0, 28, bytes);
		copies(17, 0, bytes);
	}
}

static void test_long_ones(void **state)
{
	(void)state;
	copies(0, 28, STREAM_LEAST);
	copies(4, 56, (256u << 10) + 1);
	copies(63, 1, (1u << 20) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_alignment_of_both_sides),
		cmocka_unit_test(test_every_short_length),
		cmocka_unit_test(test_long_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
