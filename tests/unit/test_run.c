/* SPDX-License-Identifier: BSD-2-Clause */
/* Sequential runs: what comes behind waits for what is before it, and goes together. */
#include <errno.h>

#include "tests/unit/queue_fixture.h"

/* One after the other, as from a client that sends the next when it has an answer: blocks FIRST to LAST. */
static void write_run(struct fake *fake, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++) {
		add(fake, PLATTER_OP_WRITE, i * 512, 512, 0);
		fake_dispatch(fake);
	}
}

static void hold(const char *scheduler)
{
	struct fake *fake = new_with(scheduler);

	set(fake, "run_depth", "2");
	write_run(fake, 0, 6);
	/* The first began no run yet; two of the run are there, and the others wait. */
	assert_driver_has(fake, "W0+1 W1+1 W2+1");
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W1+1 W2+1");
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W2+1 W3+4");
	write_run(fake, 7, 9);
	assert_driver_has(fake, "W2+1 W3+4");
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W2+1 W7+3");
	complete_all(fake, 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(fake->memory[i * 512 + 511], 'a' + i);
	end(fake);
}

static void test_a_run_has_so_many_in_the_driver(void **state)
{
	(void)state;
	hold("merge");
	hold("deadline");
}

/* Nothing was there to go on with when the last of it came back: what comes then still goes on. */
static void test_a_run_that_paused_is_remembered(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	write_run(fake, 0, 1);
	complete_all(fake, 0);
	write_run(fake, 2, 4);
	assert_driver_has(fake, "W2+1");
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W3+2");
	complete_all(fake, 0);
	end(fake);
}

static void test_what_is_no_run_waits_for_nothing(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	write_run(fake, 0, 1);
	add(fake, PLATTER_OP_READ, 1024, 512, 0);    /* another kind */
	add(fake, PLATTER_OP_WRITE, 4096, 512, 0);   /* elsewhere */
	add(fake, PLATTER_OP_WRITE, 3072, 1024, 0);  /* in front of that */
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1 R2+1 W6+3");
	add(fake, PLATTER_OP_WRITE, 1024, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1 R2+1 W6+3 W2+1!");
	complete_all(fake, 0);
	end(fake);
}

static void test_runs_may_be_left_alone(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "0");
	write_run(fake, 0, 3);
	assert_driver_has(fake, "W0+1 W1+1 W2+1 W3+1");
	complete_all(fake, 0);
	set(fake, "run_depth", "1");
	set(fake, "scheduler", "none");
	write_run(fake, 0, 3);
	assert_driver_has(fake, "W0+1 W1+1 W2+1 W3+1");
	complete_all(fake, 0);
	/* What waits when this is changed goes on all the same. */
	set(fake, "scheduler", "merge");
	write_run(fake, 0, 3);
	assert_driver_has(fake, "W0+1 W1+1");
	set(fake, "run_depth", "0");
	complete_all(fake, 0);
	end(fake);
}

static void test_a_run_waits_for_no_more_than_one_request_may_hold(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	set(fake, "max_sectors_kb", "1");
	write_run(fake, 0, 6);
	assert_driver_has(fake, "W0+1 W1+1 W2+2 W4+2");
	complete_all(fake, 0);
	set(fake, "max_sectors_kb", "1280");
	set(fake, "max_segments", "2");
	write_run(fake, 20, 26);
	assert_driver_has(fake, "W20+1 W21+1 W22+2 W24+2");
	complete_all(fake, 0);
	end(fake);
}

static void test_large_requests_dont_wait(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	write_run(fake, 0, 1);
	fake->disk->geometry.bytes = 1 << 20;
	add(fake, PLATTER_OP_TRIM, 1024, (64 << 10) + 512, 0); /* of another kind */
	add(fake, PLATTER_OP_TRIM, 1024 + (64 << 10) + 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1 T2+130");
	add(fake, PLATTER_OP_TRIM, 1024 + (65 << 10), 1024, 0);
	fake_dispatch(fake);
	add(fake, PLATTER_OP_TRIM, 1024 + (66 << 10), (64 << 10) + 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1 T2+130 T132+2 T134+129");
	complete_all(fake, 0);
	end(fake);
}

static void test_what_waits_in_a_run_can_be_dropped(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	write_run(fake, 0, 6);
	assert_driver_has(fake, "W0+1 W1+1");
	requests[0]->owner = requests[1]->owner = NULL;
	requests[2]->owner = requests[4]->owner = requests[5]->owner = NULL; /* 3 and 6 leave a gap and an end */
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 2);
	assert_int_equal(requests[3]->error, -ECANCELED);
	assert_int_equal(requests[6]->error, -ECANCELED);
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1 W4+2");
	complete_all(fake, 0);
	end(fake);
}

static void test_a_failed_run_is_taken_apart(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "run_depth", "1");
	write_run(fake, 0, 4);
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+3");
	fake_complete(fake, 1, -EIO);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1 W3+1 W4+1");
	fake_complete(fake, 2, -EIO);
	complete_all(fake, 0);
	assert_int_equal(requests[2]->error, 0);
	assert_int_equal(requests[3]->error, -EIO);
	assert_int_equal(requests[4]->error, 0);
	end(fake);
}

/* What requests of a run take is measured; and where holding them back is the slower way, none is. */
static void test_none_waits_where_that_is_slower(void **state)
{
	struct fake *fake = new_with("merge");
	const struct trial *trial = &queue_of(fake)->runs.trial;

	(void)state;
	fake->block.now = 1000;
	write_run(fake, 0, 5);
	assert_driver_has(fake, "W0+1 W1+1 W2+1");
	fake->block.now = 2000;
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1 W3+3");
	fake->block.now = 4000;
	fake_complete(fake, 2, 0);
	/* The first one was no run's. */
	complete_all(fake, -EIO);
	assert_int_equal(trial->count, 4);
	assert_int_equal(trial->batch, 1000 + 3 * 3000);
	queue_of(fake)->runs.trial.way = 1;
	write_run(fake, 10, 14);
	assert_driver_has(fake, "W10+1 W11+1 W12+1 W13+1 W14+1");
	/* Who waits already goes with the next end. */
	queue_of(fake)->runs.trial.way = 0;
	write_run(fake, 15, 18);
	assert_driver_has(fake, "W10+1 W11+1 W12+1 W13+1 W14+1");
	queue_of(fake)->runs.trial.way = 1;
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W10+1 W12+1 W13+1 W14+1 W15+4");
	/* What was asked for is done, and found out anew once anything is set. */
	set(fake, "run_depth", "2");
	write_run(fake, 19, 21);
	assert_driver_has(fake, "W10+1 W12+1 W13+1 W14+1 W15+4");
	assert_int_equal(trial->way, 0);
	assert_int_equal(trial->count, 0);
	queue_of(fake)->runs.trial.way = 1;
	write_run(fake, 22, 24);
	assert_driver_has(fake, "W10+1 W12+1 W13+1 W14+1 W15+4");
	complete_all(fake, 0);
	end(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run_has_so_many_in_the_driver),
		cmocka_unit_test(test_a_run_that_paused_is_remembered),
		cmocka_unit_test(test_what_is_no_run_waits_for_nothing),
		cmocka_unit_test(test_runs_may_be_left_alone),
		cmocka_unit_test(test_a_run_waits_for_no_more_than_one_request_may_hold),
		cmocka_unit_test(test_large_requests_dont_wait),
		cmocka_unit_test(test_what_waits_in_a_run_can_be_dropped),
		cmocka_unit_test(test_a_failed_run_is_taken_apart),
		cmocka_unit_test(test_none_waits_where_that_is_slower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
