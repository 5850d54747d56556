/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns and shares: what a connection may have of the driver where another one uses the disk, too. */
#include <errno.h>

#include "tests/unit/queue_fixture.h"

/* Users are counted ten times a second; whoever was idle for ten counts is none any more. */
#define NEXT_COUNT 100000001

/* MANY reads of CONNECTION, apart from each other, from block FIRST on. */
static void read_some(struct fake *fake, unsigned connection, unsigned first, unsigned many)
{
	for (unsigned i = 0; i < many; i++)
		add_from(fake, connection, PLATTER_OP_READ, (first + 2 * i) * 512, 512, 0);
	fake_dispatch(fake);
}

static unsigned places_of(const struct fake *fake, unsigned connection)
{
	unsigned places = 0;

	for (unsigned i = 0; i < fake->count; i++)
		places += request_of(fake->submitted[i])->from == requests[connection]->from;
	return places;
}

/* The next of CONNECTION's in the driver ends. */
static void complete_of(struct fake *fake, unsigned connection)
{
	unsigned i = 0;

	while (i < fake->count && request_of(fake->submitted[i])->from != requests[connection]->from)
		i++;
	assert_in_range(i, 0, fake->count - 1);
	fake_complete(fake, i, 0);
	fake_dispatch(fake);
}

/* Two users, of which the first has sent 40, and the second, first and last, OTHERS. */
static struct fake *new_with_flood(const char *scheduler, const char *depth, const char *fair, unsigned others)
{
	struct fake *fake = new_with(scheduler);

	fake->block.now = NEXT_COUNT;
	set(fake, "queue_depth", depth);
	set(fake, "fair_depth", fair);
	add_from(fake, 0, PLATTER_OP_READ, 0, 512, 0);
	add_from(fake, 1, PLATTER_OP_READ, 1024, 512, 0);
	fake_dispatch(fake);
	read_some(fake, 0, 4, 39);
	if (others > 1)
		read_some(fake, 1, 84, others - 1);
	return fake;
}

static void check_alone(const char *scheduler)
{
	struct fake *fake = new_with(scheduler);

	set(fake, "fair_depth", "2");
	read_some(fake, 0, 0, 50);
	assert_int_equal(fake->count, 50);
	complete_all(fake, 0);
	end(fake);
}

static void test_who_is_alone_has_all(void **state)
{
	(void)state;
	check_alone("none");
	check_alone("merge");
	check_alone("deadline");
}

static void check_flood(const char *scheduler)
{
	struct fake *fake = new_with_flood(scheduler, "64", "4", 1);

	assert_int_equal(places_of(fake, 0), 4);
	assert_int_equal(places_of(fake, 1), 1);
	/* One for one; and the other one isn't kept waiting. */
	complete_of(fake, 0);
	assert_int_equal(places_of(fake, 0), 4);
	read_some(fake, 1, 84, 3);
	assert_int_equal(places_of(fake, 1), 4);
	complete_all(fake, 0);
	end(fake);
}

static void test_a_flood_has_its_share_only(void **state)
{
	(void)state;
	check_flood("none");
	check_flood("merge");
	check_flood("deadline");
}

/* As many as the one that sends less. */
static void test_two_that_send_much_have_as_much(void **state)
{
	struct fake *fake = new_with_flood("none", "64", "2", 10);

	(void)state;
	assert_int_equal(places_of(fake, 0), 2);
	assert_int_equal(places_of(fake, 1), 2);
	fake->block.now += NEXT_COUNT;
	complete_of(fake, 0);
	assert_int_equal(places_of(fake, 0), 10);
	complete_of(fake, 1);
	assert_int_equal(places_of(fake, 1), 9); /* all that are left of its own */
	complete_all(fake, 0);
	end(fake);
}

/* Of a driver that takes few, what the others use is left to them. */
static void test_places_are_left_for_the_others(void **state)
{
	struct fake *fake = new_with_flood("merge", "8", "16", 3);

	(void)state;
	/* How many it will want isn't known, before. */
	assert_int_equal(fake->count, 8);
	fake->block.now += NEXT_COUNT;
	while (places_of(fake, 1))
		complete_of(fake, 1);
	while (places_of(fake, 0) > 5)
		complete_of(fake, 0);
	complete_of(fake, 0);
	assert_int_equal(places_of(fake, 0), 5);
	/* They go at once, then, beside a flood that is still waiting. */
	read_some(fake, 1, 100, 3);
	assert_int_equal(places_of(fake, 1), 3);
	complete_all(fake, 0);
	end(fake);
}

static void test_one_place_is_a_turn_each(void **state)
{
	struct fake *fake = new_with_flood("none", "1", "16", 4);

	(void)state;
	fake->block.now += NEXT_COUNT;
	for (unsigned i = 0; i < 3; i++) {
		complete_of(fake, 0);
		assert_int_equal(places_of(fake, 1), 1);
		complete_of(fake, 1);
		assert_int_equal(places_of(fake, 0), 1);
	}
	complete_all(fake, 0);
	end(fake);
}

/* Who hasn't sent anything for a second is no user any more, and not before. */
static void test_who_is_idle_needs_no_share(void **state)
{
	struct fake *fake = new_with_flood("none", "64", "2", 1);

	(void)state;
	complete_of(fake, 1);
	for (unsigned i = 0; i < 10; i++) {
		fake->block.now += NEXT_COUNT;
		complete_of(fake, 0);
		assert_int_equal(fake->count, 2);
	}
	fake->block.now += NEXT_COUNT;
	complete_of(fake, 0);
	assert_int_equal(fake->count, 40 - 11);
	/* It comes back. */
	read_some(fake, 0, 4, 2);
	read_some(fake, 1, 84, 1);
	while (places_of(fake, 0) > 2)
		complete_of(fake, 0);
	read_some(fake, 0, 8, 2);
	assert_int_equal(places_of(fake, 0), 2);
	complete_all(fake, 0);
	end(fake);
}

static void test_who_has_gone_needs_no_share(void **state)
{
	struct fake *fake = new_with_flood("none", "64", "2", 1);

	(void)state;
	complete_of(fake, 1);
	software_queue_leave(requests[1]->from);
	complete_of(fake, 0);
	assert_int_equal(fake->count, 39);
	complete_all(fake, 0);
	end(fake);
}

/* A deeper or fairer queue counts at once. */
static void test_the_share_can_be_changed(void **state)
{
	struct fake *fake = new_with_flood("none", "64", "2", 1);

	(void)state;
	set(fake, "fair_depth", "7");
	complete_of(fake, 0);
	assert_int_equal(places_of(fake, 0), 7);
	complete_all(fake, 0);
	end(fake);
}

/* Connections with requests of both kinds, of which one is full, lose none when the scheduler changes or they hang up. */
static void test_full_ones_are_found(void **state)
{
	struct fake *fake = new_with_flood("deadline", "64", "4", 1);

	(void)state;
	add_from(fake, 0, PLATTER_OP_WRITE, 512, 512, 0);
	fake_dispatch(fake);
	assert_int_equal(places_of(fake, 0), 5);
	assert_false(list_empty(&queue_of(fake)->software.full[SOFTWARE_READS]));
	set(fake, "scheduler", "none");
	complete_of(fake, 0);
	assert_int_equal(places_of(fake, 0), 5);
	assert_false(list_empty(&queue_of(fake)->software.full[SOFTWARE_READS]));
	requests[30]->owner = fake;
	queue_drop(queue_of(fake), fake);
	assert_int_equal(requests[30]->error, -ECANCELED);
	complete_all(fake, 0);
	end(fake);
}

/* A client whose writes wait, and have all the places that writes may have, can read all the same. */
static void test_reads_dont_wait_for_the_same_clients_writes(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	fake->block.now = NEXT_COUNT;
	set(fake, "fair_depth", "8");
	set(fake, "async_depth", "2");
	add_from(fake, 0, PLATTER_OP_READ, 0, 512, 0);
	add_from(fake, 1, PLATTER_OP_READ, 1024, 512, 0);
	for (unsigned i = 0; i < 30; i++)
		add_from(fake, 0, PLATTER_OP_WRITE, (10 + 2 * i) * 512, 512, 0);
	fake_dispatch(fake);
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W10+1 W12+1");
	add_from(fake, 0, PLATTER_OP_READ, 1024, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W10+1 W12+1 R2+1");
	complete_all(fake, 0);
	end(fake);
}

/* One client has all its places, the other one always another long TRIM: the short one of the first goes all the same. */
static void test_a_trim_of_a_full_connection_has_its_turn(void **state)
{
	struct fake *fake = new_with("merge");
	const struct request *trim;

	(void)state;
	fake->block.now = NEXT_COUNT;
	set(fake, "fair_depth", "2");
	fake->disk->geometry.max_trim = 1024;
	add_from(fake, 1, PLATTER_OP_TRIM, 0, 16384, 0);
	add_from(fake, 1, PLATTER_OP_TRIM, 20480, 16384, 0);
	add_from(fake, 0, PLATTER_OP_READ, 0, 512, 0);
	trim = add_from(fake, 0, PLATTER_OP_TRIM, 18432, 512, 0);
	for (unsigned i = 1; i < 20; i++)
		add_from(fake, 0, PLATTER_OP_READ, i * 1024, 512, 0);
	for (unsigned i = 0; i < 4; i++) {
		block_dispatch(&fake->block);
		/* A part of the long one's, and a read. */
		for (unsigned j = fake->count; j--;)
			if (fake->submitted[j]->op == PLATTER_OP_TRIM || j == 0)
				fake_complete(fake, j, 0);
	}
	assert_true(trim->submitted);
	complete_all(fake, 0);
	end(fake);
}

/* What is for a later turn goes in turn, too: one client's long list of them isn't before another's only one. */
static void test_trims_take_turns(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	fake->disk->geometry.max_trim = 1024;
	for (unsigned i = 0; i < 8; i++)
		add_from(fake, 0, PLATTER_OP_TRIM, i * 8192, 4096, 0);
	block_dispatch(&fake->block);
	assert_driver_has(fake, "T0+2");
	add_from(fake, 1, PLATTER_OP_TRIM, 6144, 512, 0);
	for (unsigned i = 0; i < 3; i++)
		block_dispatch(&fake->block);
	assert_driver_has(fake, "T0+2 T16+2 T32+2 T12+1");
	block_dispatch(&fake->block);
	assert_driver_has(fake, "T0+2 T16+2 T32+2 T12+1 T48+2");
	complete_all(fake, 0);
	end(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_alone_has_all),
		cmocka_unit_test(test_a_flood_has_its_share_only),
		cmocka_unit_test(test_two_that_send_much_have_as_much),
		cmocka_unit_test(test_places_are_left_for_the_others),
		cmocka_unit_test(test_one_place_is_a_turn_each),
		cmocka_unit_test(test_who_is_idle_needs_no_share),
		cmocka_unit_test(test_who_has_gone_needs_no_share),
		cmocka_unit_test(test_the_share_can_be_changed),
		cmocka_unit_test(test_full_ones_are_found),
		cmocka_unit_test(test_reads_dont_wait_for_the_same_clients_writes),
		cmocka_unit_test(test_a_trim_of_a_full_connection_has_its_turn),
		cmocka_unit_test(test_trims_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
