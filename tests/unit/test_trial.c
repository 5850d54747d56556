/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of two ways is the quicker, at a clock of our own. */
#include "server/block/trial.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define SAMPLES (32 * 16)

static struct trial trial;
static uint64_t now;

static void begin(void)
{
	trial_init(&trial);
	now = 5 * SECOND;
}

/* One thing after the other that takes so long on either way; how many until the way changes, at most MOST. */
static unsigned count_until_change(uint64_t took_0, uint64_t took_1, unsigned most)
{
	unsigned way = trial.way, many = 0;

	while (trial.way == way && many < most) {
		uint64_t start = now;

		now += way ? took_1 : took_0;
		trial_add(&trial, start, now);
		many++;
	}
	return many;
}

static void test_the_quicker_one_is_used(void **state)
{
	(void)state;
	begin();
	assert_int_equal(trial.way, 0);
	assert_int_equal(count_until_change(2 * MS, MS, 100000), SAMPLES);
	assert_int_equal(trial.way, 1);
	/* It stays until it is measured again, and the other one after it. */
	assert_int_equal(count_until_change(2 * MS, MS, 100000), SAMPLES + 1000 + SAMPLES);
	assert_int_equal(trial.way, 0);
	assert_int_equal(count_until_change(2 * MS, MS, 100000), SAMPLES);
	assert_int_equal(trial.way, 1);
	/* Things change. */
	while (trial.way == 1)
		count_until_change(MS, 3 * MS, 100000);
	assert_int_equal(count_until_change(MS, 3 * MS, SAMPLES + 500), SAMPLES + 500);
}

static void test_the_first_one_is_preferred(void **state)
{
	(void)state;
	begin();
	assert_int_equal(count_until_change(100, 96, 100000), SAMPLES);
	assert_int_equal(count_until_change(100, 96, 100000), SAMPLES);
	assert_int_equal(trial.way, 0);
	assert_false(trial.trying);
}

/* The same answer again and again is asked for less and less often, another one brings the pause back. */
static void test_pauses_grow(void **state)
{
	uint64_t pauses[9];

	(void)state;
	begin();
	for (unsigned i = 0; i < 9; i++) {
		while (trial.trying)
			count_until_change(2 * MS, MS, 1);
		pauses[i] = trial.again - now;
		now = trial.again;
		count_until_change(2 * MS, MS, 1);
	}
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(pauses[i], SECOND << i);
	assert_int_equal(pauses[7], 64 * SECOND);
	assert_int_equal(pauses[8], 64 * SECOND);
	while (trial.trying)
		count_until_change(MS, 2 * MS, 1);
	assert_int_equal(trial.way, 0);
	assert_int_equal(trial.again - now, SECOND);
}

/* A hiccup in one batch doesn't count. */
static void test_what_gets_in_the_way_does_not_count(void **state)
{
	(void)state;
	begin();
	count_until_change(2 * MS, MS, 100000);
	count_until_change(2 * MS, MS, 40);
	trial_add(&trial, now, now + SECOND);
	now += SECOND;
	while (trial.trying)
		count_until_change(2 * MS, MS, 1);
	assert_int_equal(trial.way, 1);
}

/* What came before this way was gone went the other one. */
static void test_what_came_earlier_does_not_count(void **state)
{
	(void)state;
	begin();
	count_until_change(MS, 2 * MS, 100000);
	for (unsigned i = 0; i < 10 * SAMPLES; i++)
		trial_add(&trial, now - 1, now);
	assert_int_equal(trial.way, 1);
	assert_int_equal(count_until_change(MS, 2 * MS, 100000), SAMPLES);
	assert_int_equal(trial.way, 0);
}

/* Where hardly anything comes, nothing is found out, and what was best before stays. */
static void test_a_trial_does_not_last_for_ever(void **state)
{
	(void)state;
	begin();
	count_until_change(2 * MS, MS, 100000);
	assert_int_equal(trial.way, 1);
	for (unsigned i = 0; i < 11; i++) {
		now += SECOND;
		trial_add(&trial, now - MS, now);
	}
	assert_false(trial.trying);
	assert_int_equal(trial.way, 0);
	assert_int_equal(trial.again - now, SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_quicker_one_is_used),
		cmocka_unit_test(test_the_first_one_is_preferred),
		cmocka_unit_test(test_pauses_grow),
		cmocka_unit_test(test_what_gets_in_the_way_does_not_count),
		cmocka_unit_test(test_what_came_earlier_does_not_count),
		cmocka_unit_test(test_a_trial_does_not_last_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
