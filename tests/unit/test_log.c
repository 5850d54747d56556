/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include <platter/host.h>

#include "common/log.h"
#include "tests/unit/unit.h"

static enum log_level heard_level;
static char heard[2048];

static void hear(enum log_level level, const char *text)
{
	heard_level = level;
	snprintf(heard, sizeof(heard), "%s", text);
}

static int set_up(void **state)
{
	(void)state;
	log_listen(hear, LOG_LEVEL_INFO);
	heard[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_listen(NULL, LOG_LEVEL_ERROR);
	return 0;
}

static void test_levels_are_syslogs(void **state)
{
	(void)state;
	platter_log(PLATTER_LOG_INFO, "%s: %d", "one", 1);
	assert_string_equal(heard, "one: 1");
	assert_int_equal(heard_level, LOG_LEVEL_INFO);
	platter_log(PLATTER_LOG_DEBUG, "nobody listens");
	assert_string_equal(heard, "one: 1");
}

static void test_numbers_that_are_no_level(void **state)
{
	(void)state;
	platter_log((enum platter_log_level)0, "emergency");
	assert_string_equal(heard, "emergency");
	assert_int_equal(heard_level, LOG_LEVEL_ERROR);
	platter_log((enum platter_log_level)99, "less than nothing");
	assert_string_equal(heard, "emergency");
}

/* A driver may end its lines as in the kernel, or print what came from outside. */
static void test_a_message_is_one_line(void **state)
{
	char longest[3000];

	(void)state;
	platter_log(PLATTER_LOG_INFO, "a\033[1mb\nc\t\xc3\xa9\n");
	assert_string_equal(heard, "a [1mb c \xc3\xa9");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	platter_log(PLATTER_LOG_INFO, "%s", longest);
	assert_int_equal(strlen(heard), 1023);
	platter_log(PLATTER_LOG_INFO, "\n");
	assert_string_equal(heard, "");
}

static void test_what_comes_too_often_is_suppressed_and_counted(void **state)
{
	struct log_ratelimit limit = { 0 }, other = { 0 };
	uint64_t now = 1000000000;
	unsigned suppressed;

	(void)state;
	for (unsigned second = 0; second < 5; second++, now += 1000000000) {
		for (unsigned i = 0; i < 7; i++) {
			assert_int_equal(log_ratelimit(&limit, now, &suppressed), 7 * second + i < LOG_RATELIMIT_BURST);
			assert_int_equal(suppressed, 0);
		}
	}
	assert_true(log_ratelimit(&other, now, &suppressed));
	assert_true(log_ratelimit(&limit, now, &suppressed));
	assert_int_equal(suppressed, 35 - LOG_RATELIMIT_BURST);
	assert_true(log_ratelimit(&limit, now, &suppressed));
	assert_int_equal(suppressed, 0);
	/* Nothing was suppressed meanwhile. */
	assert_true(log_ratelimit(&limit, now + LOG_RATELIMIT_NS, &suppressed));
	assert_int_equal(suppressed, 0);
}

static void test_a_place_s_messages_are_limited(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		log_ratelimited(INFO, "message %u", i);
	/* Unless this took seconds. */
	assert_string_equal(heard, "message 9");
	log_ratelimited(INFO, "from another %s", "place");
	assert_string_equal(heard, "from another place");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels_are_syslogs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_numbers_that_are_no_level, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_message_is_one_line, set_up, tear_down),
		cmocka_unit_test(test_what_comes_too_often_is_suppressed_and_counted),
		cmocka_unit_test_setup_teardown(test_a_place_s_messages_are_limited, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
