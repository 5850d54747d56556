/* SPDX-License-Identifier: BSD-2-Clause */
/* The parameters of a module, made by the macros that modules use. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/module.h>

#include "server/block/error.h"
#include "server/module/param.h"
#include "tests/unit/unit.h"

static uint8_t a_byte;
PLATTER_PARAM(a_byte, byte, 0644, "");
static short a_short;
PLATTER_PARAM(a_short, short, 0644, "");
static unsigned short a_ushort;
PLATTER_PARAM(a_ushort, ushort, 0644, "");
static int an_int;
PLATTER_PARAM(an_int, int, 0644, "");
static unsigned int a_uint;
PLATTER_PARAM(a_uint, uint, 0644, "");
static long a_long;
PLATTER_PARAM(a_long, long, 0644, "");
static unsigned long a_ulong;
PLATTER_PARAM(a_ulong, ulong, 0644, "");
static bool a_bool;
PLATTER_PARAM(a_bool, bool, 0644, "");
static const char *a_charp;
PLATTER_PARAM(a_charp, charp, 0644, "");
static short shorts[3] = { 1, 2, 3 };
static unsigned int short_count = 3;
PLATTER_PARAM_ARRAY(shorts, short, short_count, 0644, "");
static const char *strings[2];
static unsigned int string_count;
PLATTER_PARAM_ARRAY(strings, charp, string_count, 0644, "");
static bool bools[4];
static unsigned int bool_count;
PLATTER_PARAM_ARRAY(bools, bool, bool_count, 0644, "");

static struct param_table table;

static int set_up(void **state)
{
	struct platter_error error = { "" };

	(void)state;
	return param_table_init(&table, "delay", __start_platter_param, __stop_platter_param, &error);
}

static int tear_down(void **state)
{
	(void)state;
	param_table_destroy(&table);
	return 0;
}

static const struct platter_param *find(const char *name)
{
	const struct platter_param *param = param_find(&table, name);

	if (!param)
		fail_msg("no parameter %s", name);
	return param;
}

static void reads(const char *name, const char *expected)
{
	char *text = param_format(find(name));

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

/* VALUE is taken and reads back as EXPECTED. */
static void takes(const char *name, const char *value, const char *expected)
{
	struct platter_error error = { "" };

	if (param_set(&table, find(name), value, &error) < 0)
		fail_msg("%s", error.text);
	reads(name, expected);
}

/* VALUE is refused with RESULT and a reason that has EXPECTED, and what was there remains. */
static void refuses(const char *name, const char *value, int result, const char *expected)
{
	char *before = param_format(find(name));
	struct platter_error error = { "" };

	assert_non_null(before);
	assert_int_equal(param_set(&table, find(name), value, &error), result);
	assert_says(error.text, expected);
	reads(name, before);
	free(before);
}

static void test_each_type_takes_its_limits(void **state)
{
	static const struct {
		const char *name, *least, *most, *below, *above;
	} types[] = {
		{ "a_byte", "0", "255", NULL, "256" },
		{ "a_short", "-32768", "32767", "-32769", "32768" },
		{ "a_ushort", "0", "65535", NULL, "65536" },
		{ "an_int", "-2147483648", "2147483647", "-2147483649", "2147483648" },
		{ "a_uint", "0", "4294967295", NULL, "4294967296" },
		{ "a_long", "-9223372036854775808", "9223372036854775807", "-9223372036854775809", "9223372036854775808" },
		{ "a_ulong", "0", "18446744073709551615", NULL, "18446744073709551616" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		char range[80];

		snprintf(range, sizeof(range), "a number from %s to %s", types[i].least, types[i].most);
		takes(types[i].name, types[i].least, types[i].least);
		takes(types[i].name, types[i].most, types[i].most);
		refuses(types[i].name, types[i].above, -ERANGE, range);
		refuses(types[i].name, "99999999999999999999999", -ERANGE, range);
		if (types[i].below)
			refuses(types[i].name, types[i].below, -ERANGE, range);
		else
			refuses(types[i].name, "-1", -EINVAL, range);
		refuses(types[i].name, NULL, -EINVAL, types[i].name);
	}
	/* What lies in the variables themselves. */
	takes("a_short", "-2", "-2");
	takes("a_long", "-1", "-1");
	assert_true(a_short == -2 && a_long == -1 && a_ulong == ULONG_MAX && a_byte == 255);
}

static void test_numbers_as_the_kernel_takes_them(void **state)
{
	static const char *const wrong[] = { "", " 1", "1 ", "1\n", "x", "0x", "0xg", "0x0x1", "08", "1.5", "1k", "++1", "+-1", "-+1",
					     "--1", "-", "+", "0b1", "1,2", "1e3", "\xb2" };

	(void)state;
	takes("an_int", "+7", "7");
	takes("an_int", "0x1F", "31");
	takes("an_int", "0X1f", "31");
	takes("an_int", "-0x10", "-16");
	takes("an_int", "017", "15");
	takes("an_int", "0", "0");
	takes("an_int", "-0", "0");
	takes("an_int", "00", "0");
	takes("a_uint", "+7", "7");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses("an_int", wrong[i], -EINVAL, "a number from -2147483648 to 2147483647");
	refuses("a_uint", "-0", -EINVAL, "a number from 0");
}

static void test_messages_name_module_parameter_value_and_range(void **state)
{
	struct platter_error error = { "" };
	char longest[3000];

	(void)state;
	param_set(&table, find("a_uint"), "x", &error);
	assert_string_equal(error.text, "delay: 'x' invalid for parameter 'a_uint': a number from 0 to 4294967295");
	param_set(&table, find("shorts"), "1,x", &error);
	assert_string_equal(error.text, "delay: 'x' invalid for parameter 'shorts', element 2: a number from -32768 to 32767");
	memset(longest, '9', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	refuses("a_byte", longest, -ERANGE, "999...' invalid for parameter 'a_byte': a number from 0 to 255");
	refuses("a_charp", longest, -ENOSPC, "999...' invalid for parameter 'a_charp': a string of at most 1024 bytes");
}

static void test_bools(void **state)
{
	static const char *const yes[] = { "y", "Y", "yes", "1", "on", "ON", "true", "t", NULL };
	static const char *const no[] = { "n", "N", "no", "0", "off", "Off", "false", "f" };
	static const char *const wrong[] = { "", "2", "o", "nearly", "yo", " y", "10", "tru", "00", "y,n" };

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		takes("a_bool", "n", "N");
		takes("a_bool", yes[i], "Y");
		assert_true(a_bool);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		takes("a_bool", "y", "Y");
		takes("a_bool", no[i], "N");
		assert_false(a_bool);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses("a_bool", wrong[i], -EINVAL, "'a_bool': y or n");
}

static void test_strings_are_the_hosts_and_stay(void **state)
{
	static char first[] = "the module's own";
	char longest[PARAM_STRING_MAX + 2], text[] = "one";
	const char *one, *two;

	(void)state;
	a_charp = NULL;
	reads("a_charp", "(null)");
	a_charp = first;
	reads("a_charp", "the module's own");
	takes("a_charp", text, "one");
	text[0] = 'X';
	one = a_charp;
	takes("a_charp", "two, three", "two, three");
	two = a_charp;
	assert_string_equal(one, "one");
	takes("a_charp", "one", "one");
	assert_ptr_equal(a_charp, one);
	takes("a_charp", "", "");
	refuses("a_charp", NULL, -EINVAL, "write a_charp=...");
	memset(longest, 'x', sizeof(longest));
	longest[PARAM_STRING_MAX + 1] = '\0';
	refuses("a_charp", longest, -ENOSPC, "1024");
	takes("a_charp", longest + 1, longest + 1);
	assert_string_equal(two, "two, three");
}

/* As many as come with one insmod. */
static void test_many_strings_stay_and_none_is_kept_twice(void **state)
{
	enum { MANY = 80000 };
	const char **kept = calloc(MANY, sizeof(*kept));
	char text[32];

	(void)state;
	assert_non_null(kept);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < MANY; i++) {
			snprintf(text, sizeof(text), "%u of %u", i, MANY);
			takes("a_charp", text, text);
			assert_true(round == 0 || a_charp == kept[i]);
			kept[i] = a_charp;
		}
	}
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%u of %u", i, MANY);
		assert_string_equal(kept[i], text);
	}
	free(kept);
}

static void test_arrays_are_set_whole_or_not_at_all(void **state)
{
	(void)state;
	reads("shorts", "1,2,3");
	takes("shorts", "-7", "-7");
	assert_int_equal(short_count, 1);
	assert_int_equal(shorts[1], 2);
	takes("shorts", "4,0x5,06", "4,5,6");
	assert_int_equal(short_count, 3);
	refuses("shorts", "7,8,x", -EINVAL, "element 3");
	refuses("shorts", "7,8,32768", -ERANGE, "'32768' invalid for parameter 'shorts', element 3");
	refuses("shorts", "1,2,3,4", -EINVAL, "4 elements, it takes at most 3");
	refuses("shorts", "1,,3", -EINVAL, "element 2: it is empty");
	refuses("shorts", ",1", -EINVAL, "element 1: it is empty");
	refuses("shorts", "1,", -EINVAL, "element 2: it is empty");
	refuses("shorts", "", -EINVAL, "element 1: it is empty");
	refuses("shorts", NULL, -EINVAL, "write shorts=...");
	assert_true(shorts[0] == 4 && shorts[1] == 5 && shorts[2] == 6 && short_count == 3);
	takes("strings", "a,b c", "a,b c");
	assert_string_equal(strings[1], "b c");
	refuses("strings", "x,", -EINVAL, "element 2: it is empty");
	takes("bools", "y,n,on", "Y,N,Y");
	takes("bools", NULL, "Y");
	assert_int_equal(bool_count, 1);
}

static bool enough;

/* Reads as a module does, with nothing but the variable: each string must be there, and whole. */
static void *read_strings(void *data)
{
	const char *string;
	size_t *wrong = data;

	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		string = __atomic_load_n(&a_charp, __ATOMIC_RELAXED);
		*wrong += strlen(string) != 6 || strncmp(string, "text", 4) != 0;
	}
	return NULL;
}

static void test_strings_may_be_read_while_they_change(void **state)
{
	size_t wrong = 0;
	pthread_t thread;
	char text[16];

	(void)state;
	takes("a_charp", "text00", "text00");
	enough = false;
	assert_int_equal(pthread_create(&thread, NULL, read_strings, &wrong), 0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "text%02u", i % 100);
		takes("a_charp", text, text);
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(wrong, 0);
}

/* An array whose count nobody asked for has all its elements; a module's nonsense in the count does no harm. */
static void test_counts(void **state)
{
	static uint8_t bytes[2] = { 1, 2 };
	struct platter_param param = { "bytes", PLATTER_TYPE_byte, 0444, bytes, 2, 0, NULL };
	unsigned int count = 1000;
	char *text = param_format(&param);

	(void)state;
	assert_string_equal(text, "1,2");
	free(text);
	param.count = &count;
	text = param_format(&param);
	assert_string_equal(text, "1,2");
	free(text);
}

static int parse(const char *const *args, size_t count, char *reason, size_t size)
{
	struct platter_error error = { "" };
	int result = param_parse(&table, args, count, &error);

	snprintf(reason, size, "%s", error.text);
	return result;
}

static void test_arguments(void **state)
{
	static const char *const right[] = { "a-uint=5", "a_bool", "a_charp=b=c d", "a_uint=6", "shorts=1,2" };
	static const char *const unknown[] = { "a_uint=7", "colour=red", "a_uintx=1", "a_uin=1", "size", "=1", "" };
	static const char *const wrong[] = { "a_uint=8", "a_byte=x", "a_uint=9" };
	char reason[512];

	(void)state;
	a_bool = false;
	assert_int_equal(parse(right, 5, reason, sizeof(reason)), 0);
	assert_int_equal(a_uint, 6);
	assert_true(a_bool);
	assert_string_equal(a_charp, "b=c d");
	reads("shorts", "1,2");
	assert_int_equal(parse(unknown, 7, reason, sizeof(reason)), -ENOENT);
	assert_non_null(strstr(reason, "delay: unknown parameter 'colour', 'a_uintx', 'a_uin', 'size', '', '' (there are: "));
	assert_non_null(strstr(reason, "'a_uint'"));
	assert_int_equal(a_uint, 6);
	assert_int_equal(parse(wrong, 3, reason, sizeof(reason)), -EINVAL);
	assert_non_null(strstr(reason, "'x' invalid for parameter 'a_byte'"));
	assert_int_equal(parse(NULL, 0, reason, sizeof(reason)), 0);
}

/* So many unknown ones, so long, that no message holds them. */
static void test_arguments_without_measure(void **state)
{
	char longest[5000], reason[512];
	const char *args[20];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < 20; i++)
		args[i] = longest;
	assert_int_equal(parse(args, 20, reason, sizeof(reason)), -ENOENT);
	assert_non_null(strstr(reason, "delay: unknown parameter 'xxx"));
}

static void test_tables_that_no_macro_made_are_refused(void **state)
{
	static int value;
	static const struct {
		struct platter_param params[2];
		const char *expected;
	} cases[] = {
		{ { { NULL, PLATTER_TYPE_int, 0, &value, 0, 0, NULL } }, "a name" },
		{ { { "a b", PLATTER_TYPE_int, 0, &value, 0, 0, NULL } }, "'a b'" },
		{ { { "a", 9, 0, &value, 0, 0, NULL } }, "unknown type 9" },
		{ { { "a", PLATTER_TYPE_int, 0, NULL, 0, 0, NULL } }, "no variable" },
		{ { { "a_b", PLATTER_TYPE_int, 0, &value, 0, 0, NULL }, { "a-b", PLATTER_TYPE_int, 0, &value, 0, 0, NULL } },
		  "two parameters 'a-b'" },
	};
	struct platter_error error;
	struct param_table other;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(param_table_init(&other, "delay", cases[i].params, cases[i].params + 2, &error), -EINVAL);
		assert_says(error.text, cases[i].expected);
	}
	assert_int_equal(param_table_init(&other, "none", NULL, NULL, &error), 0);
	assert_int_equal(param_parse(&other, (const char *const[]){ "x=1" }, 1, &error), -ENOENT);
	assert_string_equal(error.text, "none: unknown parameter 'x' (there are: none)");
	param_table_destroy(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type_takes_its_limits),
		cmocka_unit_test(test_numbers_as_the_kernel_takes_them),
		cmocka_unit_test(test_messages_name_module_parameter_value_and_range),
		cmocka_unit_test(test_bools),
		cmocka_unit_test(test_strings_are_the_hosts_and_stay),
		cmocka_unit_test(test_many_strings_stay_and_none_is_kept_twice),
		cmocka_unit_test(test_arrays_are_set_whole_or_not_at_all),
		cmocka_unit_test(test_strings_may_be_read_while_they_change),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_arguments_without_measure),
		cmocka_unit_test(test_tables_that_no_macro_made_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
