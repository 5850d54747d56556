/* SPDX-License-Identifier: BSD-2-Clause */
/* Marks: against an array of a byte for each granule. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/extents.h"
#include "server/block/mark.h"
#include "tests/unit/unit.h"

#define GRANULES 2000
#define SIZE ((uint64_t)GRANULES * MARK_GRANULE)

static struct platter_error error;

static struct mark *only(struct marks *marks)
{
	struct mark *list[MARK_MOST];

	assert_int_equal(marks_use(marks, list), 1);
	mark_unuse(list[0]); /* which the list still has */
	return list[0];
}

/* Whether MARK tells of LENGTH bytes at OFFSET what is in DIRTY. */
static void check(struct mark *mark, const uint8_t *dirty, uint64_t offset, uint64_t length)
{
	struct extents *extents = extents_new(length, 1, GRANULES + 2);
	uint64_t at = offset;

	mark_tell(mark, offset, extents);
	assert_int_equal(extents->left, 0);
	for (unsigned i = 0; i < extents->count; i++) {
		const struct extent *extent = &extents->list[i];

		for (uint64_t byte = at; byte < at + extent->length; byte = (byte / MARK_GRANULE + 1) * MARK_GRANULE)
			assert_int_equal(extent->kind, dirty[byte / MARK_GRANULE]);
		at += extent->length;
	}
	assert_int_equal(at, offset + length);
	extents_free(extents);
}

static void test_any_changes_are_told(void **state)
{
	uint8_t dirty[GRANULES] = { 0 };
	struct marks marks;
	unsigned seed = 7;

	(void)state;
	marks_init(&marks);
	assert_int_equal(marks_set(&marks, "m", &error), 0);
	check(only(&marks), dirty, 0, SIZE);
	for (int i = 0; i < 300; i++) {
		uint64_t offset = (uint64_t)rand_r(&seed) * 13 % SIZE, length = 1 + (uint64_t)rand_r(&seed) % (i % 5 ? 100000 : 9000000);
		uint64_t sum = 0;

		length = length < SIZE - offset ? length : SIZE - offset;
		marks_change(&marks, offset, length);
		for (uint64_t granule = offset / MARK_GRANULE; granule <= (offset + length - 1) / MARK_GRANULE; granule++)
			dirty[granule] = MARK_DIRTY;
		for (unsigned granule = 0; granule < GRANULES; granule++)
			sum += dirty[granule] ? MARK_GRANULE : 0;
		assert_int_equal(mark_status(only(&marks)).dirty, sum);
		check(only(&marks), dirty, 0, SIZE);
		offset = (uint64_t)rand_r(&seed) * 17 % SIZE;
		check(only(&marks), dirty, offset, 1 + (uint64_t)rand_r(&seed) % (SIZE - offset));
	}
	assert_int_equal(marks_destroy(&marks), 1);
}

static void test_nothing_is_changed_by_nothing(void **state)
{
	uint8_t dirty[GRANULES] = { 0 };
	struct marks marks;

	(void)state;
	marks_init(&marks);
	marks_change(&marks, 0, SIZE); /* before it was set */
	assert_false(atomic_load(&marks.any));
	assert_int_equal(marks_set(&marks, "m", &error), 0);
	assert_true(atomic_load(&marks.any));
	marks_change(&marks, 5, 0);
	check(only(&marks), dirty, 0, SIZE);
	assert_int_equal(marks_unset(&marks, "m", &error), 0);
	assert_false(atomic_load(&marks.any));
	marks_destroy(&marks);
}

static void test_what_was_lost_is_all_dirty(void **state)
{
	uint8_t dirty[GRANULES];
	struct mark *mark;
	struct marks marks;

	(void)state;
	memset(dirty, MARK_DIRTY, sizeof(dirty));
	marks_init(&marks);
	assert_int_equal(marks_set(&marks, "m", &error), 0);
	/* Taken away while somebody uses it. */
	mark = mark_use(only(&marks));
	assert_int_equal(marks_unset(&marks, "m", &error), 0);
	check(mark, dirty, 0, SIZE);
	mark_unuse(mark);
	assert_int_equal(marks_set(&marks, "m", &error), 0);
	marks_change(&marks, 0, 1);
	marks_lose(&marks);
	check(only(&marks), dirty, 1, SIZE - 1);
	assert_true(mark_status(only(&marks)).all);
	/* Farther away than bits are kept for. */
	assert_int_equal(marks_unset(&marks, "m", &error), 0);
	assert_int_equal(marks_set(&marks, "m", &error), 0);
	marks_change(&marks, UINT64_C(1) << 62, UINT64_C(1) << 61);
	assert_true(mark_status(only(&marks)).all);
	check(only(&marks), dirty, 0, SIZE);
	marks_destroy(&marks);
}

static void test_names(void **state)
{
	static const char *const wrong[] = { "", ":", "a:b", "a b", "\303\244", "a/b",
					     "0123456789012345678901234567890123456789012345678901234567890123x" };
	char name[8];
	struct marks marks;

	(void)state;
	marks_init(&marks);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(marks_set(&marks, wrong[i], &error), -EINVAL);
	for (int i = 0; i < MARK_MOST; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		assert_int_equal(marks_set(&marks, name, &error), 0);
	}
	assert_int_equal(marks_set(&marks, "m3", &error), -EEXIST);
	assert_int_equal(marks_set(&marks, "more", &error), -ENOSPC);
	assert_int_equal(marks_unset(&marks, "none", &error), -ENOENT);
	assert_int_equal(marks_unset(&marks, "m3", &error), 0);
	assert_int_equal(marks_set(&marks, "more", &error), 0);
	assert_int_equal(marks_destroy(&marks), MARK_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_changes_are_told),
		cmocka_unit_test(test_nothing_is_changed_by_nothing),
		cmocka_unit_test(test_what_was_lost_is_all_dirty),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
