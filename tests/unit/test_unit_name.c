/* SPDX-License-Identifier: BSD-2-Clause */
/* What systemd calls devices' units, as systemd-escape(1) has it. */
#include "client/platter/unit.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void is(const char *path, const char *expected)
{
	char text[200];

	assert_int_equal(unit_of_path(text, sizeof(text), "blockdev@", path, "target"), 0);
	assert_string_equal(text, expected);
}

static void test_paths(void **state)
{
	(void)state;
	is("/dev/nbd0", "blockdev@dev-nbd0.target");
	is("/dev/disk/by-id/nbd-a.b_C-9", "blockdev@dev-disk-by\\x2did-nbd\\x2da.b_C\\x2d9.target");
	is("/.x:/.y", "blockdev@\\x2ex:-.y.target");
	is("/\xc3\xa4 +", "blockdev@\\xc3\\xa4\\x20\\x2b.target");
}

/* Never half a name. */
static void test_no_room(void **state)
{
	char text[40];

	(void)state;
	for (size_t size = 1; size < strlen("a@b\\x2dc.d") + 1; size++)
		assert_int_equal(unit_of_path(text, size, "a@", "/b-c", "d"), -ENAMETOOLONG);
	assert_int_equal(unit_of_path(text, strlen("a@b\\x2dc.d") + 1, "a@", "/b-c", "d"), 0);
	assert_string_equal(text, "a@b\\x2dc.d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
