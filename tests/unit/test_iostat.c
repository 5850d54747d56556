/* SPDX-License-Identifier: BSD-2-Clause */
/* iostat's columns from counters. */
#include <jansson.h>
#include <string.h>

#include "client/platterctl/iostat.h"
#include "tests/unit/unit.h"

static double values[IOSTAT_COLUMNS];

static double column(const char *name)
{
	for (unsigned i = 0; i < IOSTAT_COLUMNS; i++)
		if (strcmp(iostat_columns[i], name) == 0)
			return values[i];
	fail_msg("there is no column %s", name);
	return -1;
}

static void assert_column(const char *name, double expected)
{
	double value = column(name);

	if (value < expected - 1e-9 || value > expected + 1e-9)
		fail_msg("%s is %f, not %f", name, value, expected);
}

static json_t *op(json_int_t requests, json_int_t merged, json_int_t submitted, json_int_t bytes, json_int_t queue_ns,
		  json_int_t service_ns)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "requests", requests, "merged", merged, "submitted", submitted,
			 "bytes", bytes, "queue", "ns", queue_ns, "service", "ns", service_ns);
}

/* FACTOR times the same load, in as many times 2 seconds. */
static json_t *disk(json_int_t factor)
{
	json_int_t n = factor;

	return json_pack("{s:s, s:I, s:I, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o}}", "name", "a", "age_us", n * 2000000,
			 "busy_us", n * 500000, "ops",
			 "read", op(n * 100, n * 20, n * 80, n * 819200, n * 50000000, n * 150000000),
			 "write", op(n * 10, n * 0, n * 10, n * 40960, 0, n * 10000000),
			 "zeroes", op(n * 10, n * 5, n * 5, n * 40960, 0, n * 30000000),
			 "trim", op(n * 4, 0, n * 4, n * 4194304, n * 1000000, 0),
			 "flush", op(n * 8, n * 6, n * 2, 0, n * 8000000, n * 8000000),
			 "cache", op(n * 2, 0, n * 2, n * 8192, 0, n * 40000000),
			 "extents", op(n * 2, 0, n * 2, n * 8192, 0, n * 3000000));
}

static void assert_two_seconds_of_load(void)
{
	assert_column("r/s", 40);
	assert_column("rkB/s", 400);
	assert_column("rrqm/s", 10);
	assert_column("%rrqm", 20);
	assert_column("r_await", 2);
	assert_column("rareq-sz", 10);
	/* Zeroes are writes, as in the kernel. */
	assert_column("w/s", 7.5);
	assert_column("wkB/s", 40);
	assert_column("wrqm/s", 2.5);
	assert_column("%wrqm", 25);
	assert_column("w_await", 2);
	assert_column("wareq-sz", 80.0 / 15);
	assert_column("d/s", 2);
	assert_column("dkB/s", 2048);
	assert_column("drqm/s", 0);
	assert_column("%drqm", 0);
	assert_column("d_await", 0.25);
	assert_column("dareq-sz", 1024);
	/* Syncs, and what a FLUSH takes. */
	assert_column("f/s", 1);
	assert_column("f_await", 2);
	/* 200 + 40 + 1 + 16 + 43 ms of requests in 2 s. */
	assert_column("aqu-sz", 0.15);
	assert_column("%util", 25);
}

static void test_the_first_report_is_since_the_disk_was_added(void **state)
{
	json_t *now = disk(1);

	(void)state;
	iostat_values(values, now, NULL);
	assert_two_seconds_of_load();
	json_decref(now);
}

static void test_later_ones_are_of_what_happened_since_the_last(void **state)
{
	json_t *now = disk(4), *before = disk(3);

	(void)state;
	iostat_values(values, now, before);
	assert_two_seconds_of_load();
	json_decref(now);
	json_decref(before);
}

static void test_a_new_disk_of_an_old_name_starts_anew(void **state)
{
	json_t *now = disk(1), *before = disk(3);

	(void)state;
	iostat_values(values, now, before);
	assert_two_seconds_of_load();
	json_decref(now);
	json_decref(before);
}

static void test_of_nothing_all_is_zero(void **state)
{
	json_t *nothing = disk(0), *same = disk(2);

	(void)state;
	iostat_values(values, nothing, NULL);
	for (unsigned i = 0; i < IOSTAT_COLUMNS; i++)
		assert_column(iostat_columns[i], 0);
	iostat_values(values, same, same);
	for (unsigned i = 0; i < IOSTAT_COLUMNS; i++)
		assert_column(iostat_columns[i], 0);
	json_decref(nothing);
	json_decref(same);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_report_is_since_the_disk_was_added),
		cmocka_unit_test(test_later_ones_are_of_what_happened_since_the_last),
		cmocka_unit_test(test_a_new_disk_of_an_old_name_starts_anew),
		cmocka_unit_test(test_of_nothing_all_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
