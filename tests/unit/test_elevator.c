/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes to the driver next, and what goes with it: taking turns, merging, queue depth. */
#include <errno.h>
#include <string.h>

#include "tests/unit/queue_fixture.h"

static void test_neighbours_become_one(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	add(fake, PLATTER_OP_WRITE, 1024, 512, 0);
	add(fake, PLATTER_OP_WRITE, 1536, 1024, 0); /* behind */
	add(fake, PLATTER_OP_WRITE, 512, 512, 0);   /* in front */
	add_from(fake, 1, PLATTER_OP_WRITE, 0, 512, 0); /* another connection's */
	add(fake, PLATTER_OP_WRITE, 4096, 512, 0);  /* apart */
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+5 W8+1");
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 4); /* each has its own end */
	fake_complete(fake, 0, 0);
	for (unsigned block = 0; block < 4; block++)
		assert_int_equal(fake->memory[block * 512], 'a' + block);
	assert_int_equal(fake->memory[2048], 'd');
	assert_int_equal(fake->memory[2560], 0);
	end(fake);
}

static void test_a_merged_read_gives_each_its_own(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	for (unsigned i = 0; i < sizeof(fake->memory); i++)
		fake->memory[i] = (uint8_t)(i / 512);
	for (unsigned i = 0; i < 8; i++)
		add(fake, PLATTER_OP_READ, (7 - i) * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+8");
	fake_complete(fake, 0, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(*(uint8_t *)requests[i]->driver.iov[0].iov_base, 7 - i);
	end(fake);
}

static void test_only_what_is_alike_and_adjacent_is_merged(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	add(fake, PLATTER_OP_READ, 512, 512, 0);
	add(fake, PLATTER_OP_TRIM, 1024, 512, 0);
	add(fake, PLATTER_OP_TRIM, 1536, 512, 0);
	add(fake, PLATTER_OP_ZEROES, 2048, 512, 0);
	add(fake, PLATTER_OP_ZEROES, 2560, 512, PLATTER_REQ_NO_HOLE);
	add(fake, PLATTER_OP_ZEROES, 3072, 512, PLATTER_REQ_NO_HOLE);
	add(fake, PLATTER_OP_CACHE, 3584, 512, 0);
	add(fake, PLATTER_OP_CACHE, 4096, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 R1+1 T2+2 Z4+1 Z5+2 C7+1 C8+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

/* One with FUA goes as it is, beside the plain one; several go without, and one sync follows. */
static void test_fua_merges_only_with_fua(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1!");
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	add(fake, PLATTER_OP_WRITE, 1024, 512, PLATTER_REQ_FUA);
	add(fake, PLATTER_OP_WRITE, 4096, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+2 W8+1");
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W8+1"); /* no sync before the last of them is back */
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 3); /* and none is answered before the sync */
	fake_dispatch(fake);
	assert_driver_has(fake, "F0+0");
	fake_complete(fake, 0, 0);
	end(fake);
}

static void test_a_clients_flush_syncs_for_the_group(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	add(fake, PLATTER_OP_WRITE, 4096, 512, PLATTER_REQ_FUA);
	add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W1+1 W8+1");
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, -ENOSPC);
	fake_dispatch(fake);
	assert_driver_has(fake, "F0+0");
	fake_complete(fake, 0, 0);
	assert_int_equal(fake->total, 3);
	assert_int_equal(requests[0]->error, 0);
	assert_int_equal(requests[1]->error, 0);
	assert_int_equal(requests[2]->error, -ENOSPC); /* its own affair */
	assert_int_equal(requests[3]->error, 0);
	end(fake);
}

static void test_a_change_that_fails_badly_is_not_synced_over(void **state)
{
	struct fake *fake = new_with("none");

	(void)state;
	add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	add(fake, PLATTER_OP_WRITE, 4096, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	fake_complete(fake, 0, -EIO);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 0);
	assert_int_equal(requests[0]->error, -EIO);
	assert_int_equal(requests[1]->error, -EIO);
	assert_int_not_equal(disk_failure(fake->disk), 0);
	end(fake);
}

/* A driver that lends without having said so: then there is nothing where the data should be. */
static void test_members_of_one_of_another_length_are_tried_one_by_one(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	add(fake, PLATTER_OP_READ, 0, 512, 0);
	add(fake, PLATTER_OP_READ, 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+2");
	assert_int_equal(platter_request_lend(fake->submitted[0], fake->memory, 1024), 0);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+1 R1+1");
	assert_int_equal(platter_request_lend(fake->submitted[0], fake->memory, 512), 0);
	fake_complete(fake, 0, 0);
	complete_all(fake, 0);
	assert_int_equal(requests[0]->error, -EIO);
	assert_int_equal(requests[1]->error, 0);
	end(fake);
}

/* Nothing is no segment, and no more is taken than was asked for; what isn't asked about extents isn't told. */
static void test_what_a_driver_lends_and_tells_is_looked_at(void **state)
{
	struct fake *fake = new_with("none");
	struct platter_request *read;

	(void)state;
	fake->disk->geometry.capabilities |= PLATTER_DISK_LENDS;
	add(fake, PLATTER_OP_READ, 0, 1024, 0);
	fake_dispatch(fake);
	read = fake->submitted[0];
	assert_int_equal(platter_request_lend(read, NULL, 0), 0);
	assert_int_equal(platter_request_lend(read, fake->memory, 0), 0);
	assert_int_equal(platter_request_lend(read, NULL, SIZE_MAX), -EINVAL);
	assert_int_equal(platter_request_lend(read, fake->memory, 1025), -EINVAL);
	read->iovcnt = 0; /* the fixture's own segments */
	assert_int_equal(platter_request_lend(read, NULL, 1024), 0);
	assert_int_equal(read->iovcnt, 1);
	assert_true(platter_request_extent(read, 1024, 0));
	fake->count = 0;
	platter_request_complete(read, 0);
	assert_int_equal(requests[0]->error, 0);
	end(fake);
}

static void test_members_of_a_failed_one_are_tried_one_by_one(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		add(fake, PLATTER_OP_WRITE, i * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+3");
	fake_complete(fake, 0, -EIO);
	assert_int_equal(fake_ended, 0);
	/* What has started isn't dropped: it may have been done in part. */
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1 W2+1");
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, -EIO);
	fake_complete(fake, 0, 0);
	assert_int_equal(requests[0]->error, 0);
	assert_int_equal(requests[1]->error, -EIO);
	assert_int_equal(requests[2]->error, 0);
	end(fake);
}

static void test_failed_fua_is_not_tried_again(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		add(fake, PLATTER_OP_WRITE, i * 512, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+3");
	fake_complete(fake, 0, -EIO);
	fake_dispatch(fake);
	assert_int_equal(fake->total, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(requests[i]->error, -EIO);
	assert_int_not_equal(disk_failure(fake->disk), 0);
	end(fake);
}

static void test_fua_without_space_is_tried_one_by_one(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		add(fake, PLATTER_OP_WRITE, i * 512, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	fake_complete(fake, 0, -ENOSPC);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1");
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, -ENOSPC);
	fake_dispatch(fake);
	fake_complete(fake, 0, 0); /* the sync */
	assert_int_equal(requests[0]->error, 0);
	assert_int_equal(requests[1]->error, -ENOSPC);
	assert_int_equal(disk_failure(fake->disk), 0);
	end(fake);
}

static void test_limits_of_what_is_merged(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "max_sectors_kb", "2");
	for (unsigned i = 0; i < 5; i++)
		add(fake, PLATTER_OP_WRITE, i * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+4 W4+1");
	set(fake, "max_sectors_kb", "1280");
	set(fake, "max_segments", "2");
	for (unsigned i = 10; i < 13; i++)
		add(fake, PLATTER_OP_READ, i * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+4 W4+1 R10+2 R12+1");
	set(fake, "max_segments", "1024");
	fake->disk->geometry.max_request = 1024;
	for (unsigned i = 20; i < 23; i++)
		add(fake, PLATTER_OP_READ, i * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+4 W4+1 R10+2 R12+1 R20+2 R22+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	set(fake, "nomerges", "1");
	fake_dispatch(fake);
	for (unsigned i = 0; i < 3; i++)
		add(fake, PLATTER_OP_READ, (30 + (i + 1) % 3) * 512, 512, 0); /* 31, 32, 30 */
	fake_dispatch(fake);
	assert_driver_has(fake, "R31+2 R30+1");
	set(fake, "nomerges", "2");
	add(fake, PLATTER_OP_READ, 40 * 512, 512, 0);
	add(fake, PLATTER_OP_READ, 41 * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R31+2 R30+1 R40+1 R41+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

static void test_what_a_driver_lends_is_not_merged(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	fake->disk->geometry.capabilities |= PLATTER_DISK_LENDS;
	add(fake, PLATTER_OP_READ, 0, 512, 0);
	add(fake, PLATTER_OP_READ, 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+1 R1+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

/* What piles up while the driver is busy is merged when it is not. */
static void test_a_driver_is_given_what_it_takes(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "queue_depth", "2");
	for (unsigned i = 0; i < 4; i++)
		add(fake, PLATTER_OP_WRITE, i * 1024, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1");
	add(fake, PLATTER_OP_WRITE, 9 * 512, 512, 0);
	add(fake, PLATTER_OP_WRITE, 5 * 512, 512, 0);
	add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 2);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W2+1 F0+0"); /* a flush goes before what waits */
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "F0+0 W4+3");
	fake_complete(fake, 1, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "F0+0 W9+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

static void test_an_idle_disk_may_wait_for_more(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	fake->block.now = 5000;
	set(fake, "plug_us", "100");
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "");
	assert_int_equal(fake->timer, 105000);
	fake->block.now = 60000;
	add(fake, PLATTER_OP_WRITE, 512, 512, 0); /* starts no new time */
	fake_dispatch(fake);
	assert_driver_has(fake, "");
	fake->block.now = 104999;
	fake->timer = 0;
	block_unplug(&fake->block);
	fake_dispatch(fake);
	assert_driver_has(fake, "");
	assert_int_equal(fake->timer, 105000);
	fake->block.now = 105000;
	block_unplug(&fake->block);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+2");
	add(fake, PLATTER_OP_WRITE, 4096, 512, 0); /* it is busy: nothing is waited for */
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+2 W8+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

static void test_it_waits_no_longer_than_for_enough(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	set(fake, "plug_us", "100");
	for (unsigned i = 0; i < 32; i++) {
		assert_driver_has(fake, "");
		add(fake, PLATTER_OP_READ, i * 512, 512, 0);
		fake_dispatch(fake);
	}
	assert_driver_has(fake, "R0+32");
	fake_complete(fake, 0, 0);
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "");
	add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 F0+0"); /* nor when somebody waits for a sync */
	while (fake->count)
		fake_complete(fake, 0, 0);
	set(fake, "scheduler", "none"); /* which merges nothing */
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	add(fake, PLATTER_OP_WRITE, 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W1+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

static void test_what_is_waited_for_may_be_dropped(void **state)
{
	struct fake *fake = new_with("merge");

	(void)state;
	set(fake, "plug_us", "100");
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	queue_drop(queue_of(fake), fake);
	fake->block.now += 100000;
	block_unplug(&fake->block);
	fake_dispatch(fake);
	assert_driver_has(fake, "");
	assert_true(list_empty(&fake->block.plugged));
	end(fake);
}

/* Who has sent many requests doesn't keep another one waiting for more than one of them. */
static void take_turns(const char *scheduler)
{
	struct fake *fake = new_with(scheduler);

	set(fake, "queue_depth", "1");
	for (unsigned i = 0; i < 8; i++)
		add_from(fake, 0, PLATTER_OP_READ, i * 2048, 512, 0);
	add_from(fake, 1, PLATTER_OP_READ, 50 * 512, 512, 0);
	add_from(fake, 1, PLATTER_OP_READ, 60 * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+1");
	for (unsigned i = 0; i < 4; i++) {
		static const char *const expected[] = { "R50+1", "R4+1", "R60+1", "R8+1" };

		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
		assert_driver_has(fake, expected[i]);
	}
	while (fake->count) {
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
	}
	end(fake);
}

static void test_connections_take_turns(void **state)
{
	(void)state;
	take_turns("none");
	take_turns("merge");
}

static void test_the_elevator_changes_under_way(void **state)
{
	static const char *const schedulers[] = { "merge", "deadline", "none", "deadline", "merge", "none" };
	struct fake *fake = new_with("none");

	(void)state;
	set(fake, "queue_depth", "1");
	for (unsigned i = 0; i < 8; i++)
		add_from(fake, i % 2, PLATTER_OP_WRITE, i * 1024, 512, 0);
	fake_dispatch(fake);
	for (unsigned i = 0; i < 6; i++) {
		set(fake, "scheduler", schedulers[i]);
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
		assert_int_equal(fake->count, 1);
		assert_string_equal(queue_of(fake)->elevator->name, schedulers[i]);
	}
	while (fake->count) {
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
	}
	assert_int_equal(fake->total, 8);
	end(fake);
}

static void drop_waiting(const char *scheduler)
{
	struct fake *fake = new_with(scheduler);
	struct request *other;

	set(fake, "queue_depth", "1");
	for (unsigned i = 0; i < 4; i++)
		add(fake, PLATTER_OP_WRITE, i * 1024, 512, i == 3 ? PLATTER_REQ_FUA : 0);
	fake_dispatch(fake);
	other = add_from(fake, 1, PLATTER_OP_WRITE, 1024, 512, 0); /* waits for one that is dropped */
	other->owner = NULL;
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 3);
	assert_int_equal(requests[1]->error, -ECANCELED);
	assert_int_equal(requests[3]->error, -ECANCELED);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W2+1");
	fake_complete(fake, 0, 0);
	assert_int_equal(disk_failure(fake->disk), 0);
	end(fake);
}

static void test_what_waits_can_be_dropped(void **state)
{
	(void)state;
	drop_waiting("none");
	drop_waiting("merge");
	drop_waiting("deadline");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours_become_one),
		cmocka_unit_test(test_a_merged_read_gives_each_its_own),
		cmocka_unit_test(test_only_what_is_alike_and_adjacent_is_merged),
		cmocka_unit_test(test_fua_merges_only_with_fua),
		cmocka_unit_test(test_a_clients_flush_syncs_for_the_group),
		cmocka_unit_test(test_a_change_that_fails_badly_is_not_synced_over),
		cmocka_unit_test(test_members_of_one_of_another_length_are_tried_one_by_one),
		cmocka_unit_test(test_what_a_driver_lends_and_tells_is_looked_at),
		cmocka_unit_test(test_members_of_a_failed_one_are_tried_one_by_one),
		cmocka_unit_test(test_failed_fua_is_not_tried_again),
		cmocka_unit_test(test_fua_without_space_is_tried_one_by_one),
		cmocka_unit_test(test_limits_of_what_is_merged),
		cmocka_unit_test(test_what_a_driver_lends_is_not_merged),
		cmocka_unit_test(test_a_driver_is_given_what_it_takes),
		cmocka_unit_test(test_an_idle_disk_may_wait_for_more),
		cmocka_unit_test(test_it_waits_no_longer_than_for_enough),
		cmocka_unit_test(test_what_is_waited_for_may_be_dropped),
		cmocka_unit_test(test_connections_take_turns),
		cmocka_unit_test(test_the_elevator_changes_under_way),
		cmocka_unit_test(test_what_waits_can_be_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
