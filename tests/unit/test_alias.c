/* SPDX-License-Identifier: BSD-2-Clause */
/* Names in /dev/disk/by-path: one file's each, in letters that udev leaves as they are, and no two exports' the same. */
#include "client/platter/alias.h"

#include <errno.h>
#include <stdio.h>

#include "client/platter/problem.h"
#include "client/platter/uri.h"
#include "tests/unit/unit.h"

static int alias_of(const char *text, char *alias)
{
	struct problem problem;
	struct uri uri;
	int result;

	if (uri_parse(&uri, text, &problem) < 0)
		fail_msg("%s", problem.text);
	result = alias_by_path(alias, &uri);
	uri_free(&uri);
	return result;
}

static void is(const char *text, const char *expected)
{
	char alias[ALIAS_SIZE];

	assert_int_equal(alias_of(text, alias), 0);
	assert_string_equal(alias, expected);
}

static void test_names(void **state)
{
	(void)state;
	is("nbd://storage/vm1", "nbd-storage:10809-vm1");
	is("nbds://me@[fe80::1]:11/A-b_c.d:e=f+g%23@9", "nbd-fe80::1:11-A-b_c.d:e=f+g#@9");
	is("nbd://storage", "nbd-storage:10809-");
	is("nbd+unix:///x?socket=/run/s", "nbd-unix:-x");
}

static void test_nasty_names(void **state)
{
	(void)state;
	is("nbd://h/a/b", "nbd-h:10809-a\\x2fb");
	is("nbd://h/../../sda", "nbd-h:10809-..\\x2f..\\x2fsda");
	is("nbd://h/a%20%09%0Ab", "nbd-h:10809-a\\x20\\x09\\x0ab");
	is("nbd://h/%22%24%25%5Cx2f%7F%60%27", "nbd-h:10809-\\x22\\x24\\x25\\x5cx2f\\x7f\\x60\\x27");
	is("nbd://h/gr%C3%BC%C3%9Fe%F0%9F%92%BE", "nbd-h:10809-gr\xc3\xbc\xc3\x9f" "e\xf0\x9f\x92\xbe");
	/* Not UTF-8: a letter that is cut off, one that is too long, half of a pair. */
	is("nbd://h/%C3x", "nbd-h:10809-\\xc3x");
	is("nbd://h/%C0%AF", "nbd-h:10809-\\xc0\\xaf");
	is("nbd://h/%ED%A0%80%C3", "nbd-h:10809-\\xed\\xa0\\x80\\xc3");
}

/* Never half a name, nor more than there is room for. */
static void test_long_names(void **state)
{
	char text[1024], alias[ALIAS_SIZE + 1];
	int fits = 0;

	(void)state;
	for (int length = 200; length < 260; length++) {
		snprintf(text, sizeof(text), "nbd://h/%%2F%0*d", length, 0);
		alias[ALIAS_SIZE] = '!';
		if (alias_of(text, alias) == 0) {
			assert_int_equal(strlen(alias), strlen("nbd-h:10809-\\x2f") + (size_t)length);
			fits = length;
		} else {
			assert_int_equal(alias_of(text, alias), -ENAMETOOLONG);
		}
		assert_int_equal(alias[ALIAS_SIZE], '!');
	}
	assert_int_equal(fits, ALIAS_SIZE - 1 - (int)strlen("nbd-h:10809-\\x2f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nasty_names),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
