/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "common/log.h"
#include "common/size.h"
#include "tests/unit/unit.h"

static void parses(const char *text, uint64_t expected)
{
	uint64_t size = 0;

	assert_int_equal(size_parse(text, &size), 0);
	assert_true(size == expected);
}

static void test_suffixes_are_binary(void **state)
{
	(void)state;
	parses("0", 0);
	parses("513", 513);
	parses("4K", 4096);
	parses("4k", 4096);
	parses("1M", 1 << 20);
	parses("10GiB", UINT64_C(10) << 30);
	parses("2T", UINT64_C(2) << 40);
	parses("7E", UINT64_C(7) << 60);
	parses("9223372036854775807", INT64_MAX);
}

static void test_what_is_no_size_is_refused(void **state)
{
	static const char *const texts[] = { "", "K", "-1", "+1", " 1", "1 ", "1x", "1KB", "1KiBx", "0x10", "1.5G", "1,2" };
	uint64_t size = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(size_parse(texts[i], &size), -EINVAL);
	assert_int_equal(size, 42);
}

static void test_what_no_file_can_have_is_out_of_range(void **state)
{
	static const char *const texts[] = { "8E", "9223372036854775808", "18446744073709551616", "99999999999999999999K" };
	uint64_t size = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(size_parse(texts[i], &size), -ERANGE);
	assert_int_equal(size, 42);
}

static void test_formatting_is_exact(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(size_format(text, 0), "0 bytes");
	assert_string_equal(size_format(text, 513), "513 bytes");
	assert_string_equal(size_format(text, 1 << 30), "1 GiB");
	assert_string_equal(size_format(text, UINT64_C(1536) << 20), "1536 MiB");
}

static void test_printable_text_has_no_surprises(void **state)
{
	char text[9];

	(void)state;
	assert_string_equal(log_printable(text, sizeof(text), "a\n\x1b[31m", 7), "a??[31m");
	assert_string_equal(log_printable(text, sizeof(text), "12345678", 8), "12345678");
	assert_string_equal(log_printable(text, sizeof(text), "123456789", 9), "12345...");
	assert_string_equal(log_printable(text, sizeof(text), "", 0), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suffixes_are_binary),
		cmocka_unit_test(test_what_is_no_size_is_refused),
		cmocka_unit_test(test_what_no_file_can_have_is_out_of_range),
		cmocka_unit_test(test_formatting_is_exact),
		cmocka_unit_test(test_printable_text_has_no_surprises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
