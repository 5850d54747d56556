/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a range becomes extents of whole blocks. */
#include <stdio.h>
#include <string.h>

#include "server/block/extents.h"
#include "tests/unit/unit.h"

#define HOLE 3u
#define ZERO 2u

static char text[256];

/* "LENGTH:KIND ..." */
static const char *show(const struct extents *extents)
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < extents->count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u:%u", i ? " " : "", (unsigned)extents->list[i].length,
				       (unsigned)extents->list[i].kind);
	return text;
}

static void test_neighbours_of_one_kind_are_one(void **state)
{
	struct extents *extents = extents_new(100, 1, 10);

	(void)state;
	assert_false(extents_add(extents, 10, 0));
	assert_false(extents_add(extents, 0, HOLE));
	assert_false(extents_add(extents, 5, 0));
	assert_false(extents_add(extents, 1, HOLE));
	assert_false(extents_add(extents, 4, HOLE));
	assert_false(extents_add(extents, 1, ZERO));
	assert_string_equal(show(extents), "15:0 5:3 1:2");
	extents_free(extents);
}

static void test_what_exceeds_the_range_is_cut_off(void **state)
{
	struct extents *extents = extents_new(100, 1, 10);

	(void)state;
	assert_false(extents_add(extents, 99, 0));
	assert_true(extents_add(extents, UINT64_MAX, HOLE));
	assert_true(extents_add(extents, 1, ZERO));
	assert_string_equal(show(extents), "99:0 1:3");
	extents_free(extents);
}

/* The last one is as long as it is, not only as long as what was told of it first. */
static void test_no_more_than_are_wanted(void **state)
{
	struct extents *extents = extents_new(100, 1, 2);

	(void)state;
	assert_false(extents_add(extents, 10, 0));
	assert_false(extents_add(extents, 10, HOLE));
	assert_false(extents_add(extents, 10, HOLE));
	assert_true(extents_add(extents, 10, 0));
	assert_true(extents_add(extents, 10, HOLE));
	assert_string_equal(show(extents), "10:0 20:3");
	extents_free(extents);
}

/* A block of several kinds is only what all of it is. */
static void test_blocks_are_whole(void **state)
{
	struct extents *extents = extents_new(8192, 512, 10);

	(void)state;
	assert_false(extents_add(extents, 100, HOLE));
	assert_int_equal(extents->count, 0);
	assert_false(extents_add(extents, 1000, HOLE));
	assert_string_equal(show(extents), "1024:3");
	assert_false(extents_add(extents, 400, ZERO)); /* to 1500, in the block that began as a hole */
	assert_false(extents_add(extents, 36, HOLE));
	assert_string_equal(show(extents), "1024:3 512:2");
	assert_false(extents_add(extents, 1, HOLE));
	assert_false(extents_add(extents, 1, 0));
	assert_false(extents_add(extents, 3, HOLE));
	assert_false(extents_add(extents, 1000, HOLE));
	assert_string_equal(show(extents), "1024:3 512:2 512:0");
	assert_true(extents_add(extents, 8192, HOLE));
	assert_string_equal(show(extents), "1024:3 512:2 512:0 6144:3");
	extents_free(extents);
}

static void test_a_part_of_a_block_is_not_told(void **state)
{
	struct extents *extents = extents_new(4096, 4096, 10);

	(void)state;
	for (unsigned i = 0; i < 4095; i++)
		assert_false(extents_add(extents, 1, HOLE));
	assert_int_equal(extents->count, 0);
	assert_true(extents_add(extents, 1, HOLE));
	assert_string_equal(show(extents), "4096:3");
	extents_free(extents);
}

static void test_many(void **state)
{
	struct extents *extents = extents_new(UINT64_MAX, 1, 1u << 20);

	(void)state;
	for (unsigned i = 0; i < 1u << 20; i++)
		assert_false(extents_add(extents, i + 1, i % 2));
	assert_true(extents_add(extents, 1, 0));
	assert_int_equal(extents->count, 1u << 20);
	for (unsigned i = 0; i < 1u << 20; i++)
		assert_true(extents->list[i].length == i + 1 && extents->list[i].kind == i % 2);
	extents_free(extents);
	extents_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours_of_one_kind_are_one),
		cmocka_unit_test(test_what_exceeds_the_range_is_cut_off),
		cmocka_unit_test(test_no_more_than_are_wanted),
		cmocka_unit_test(test_blocks_are_whole),
		cmocka_unit_test(test_a_part_of_a_block_is_not_told),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
