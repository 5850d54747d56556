/* SPDX-License-Identifier: BSD-2-Clause */
/* The elevator "deadline". */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/queue_fixture.h"

/* Runs the queue dry, one request at a time, and says in which order. */
static void assert_order(struct fake *fake, const char *expected)
{
	char text[1024] = "";
	size_t length = 0;

	fake_dispatch(fake);
	while (fake->count) {
		const struct platter_request *request = fake->submitted[0];

		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%c%ju", length ? " " : "", "RW"[request->op],
					   (uintmax_t)request->offset / 512);
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
	}
	assert_string_equal(text, expected);
}

static struct fake *new_deadline(void)
{
	struct fake *fake = new_with("deadline");

	set(fake, "queue_depth", "1");
	set(fake, "nomerges", "2");
	return fake;
}

static void test_deadline_sorts(void **state)
{
	static const unsigned blocks[] = { 20, 60, 10, 40, 30, 50 };
	struct fake *fake = new_deadline();

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		add(fake, PLATTER_OP_READ, blocks[i] * 512, 512, 0);
	assert_order(fake, "R20 R30 R40 R50 R60 R10"); /* from the oldest on, and around */
	end(fake);
}

static void test_deadline_prefers_reads_but_starves_no_writes(void **state)
{
	struct fake *fake = new_deadline();

	(void)state;
	set(fake, "fifo_batch", "2");
	set(fake, "writes_starved", "2");
	for (unsigned i = 0; i < 10; i++) {
		add(fake, PLATTER_OP_WRITE, (50 + i) * 512, 512, 0);
		add(fake, PLATTER_OP_READ, i * 512, 512, 0);
	}
	assert_order(fake, "R0 R1 R2 R3 W50 W51 R4 R5 R6 R7 W52 W53 R8 R9 W54 W55 W56 W57 W58 W59");
	end(fake);
}

static void test_deadline_starves_no_reads(void **state)
{
	struct fake *fake = new_deadline();

	(void)state;
	set(fake, "fifo_batch", "2");
	set(fake, "writes_starved", "0");
	for (unsigned i = 0; i < 6; i++)
		add(fake, PLATTER_OP_WRITE, (50 + i) * 512, 512, 0);
	for (unsigned i = 0; i < 3; i++)
		add(fake, PLATTER_OP_READ, i * 512, 512, 0);
	assert_order(fake, "W50 W51 R0 R1 W52 W53 R2 W54 W55");
	end(fake);
}

static void test_deadline_lets_none_expire(void **state)
{
	struct fake *fake = new_deadline();

	(void)state;
	set(fake, "fifo_batch", "1");
	set(fake, "read_expire", "100");
	add(fake, PLATTER_OP_READ, 50 * 512, 512, 0);
	add(fake, PLATTER_OP_READ, 10 * 512, 512, 0);
	add(fake, PLATTER_OP_READ, 60 * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R50+1");
	fake->block.now += 99999999;
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R60+1"); /* goes on sorted... */
	add(fake, PLATTER_OP_READ, 70 * 512, 512, 0);
	fake->block.now += 1;
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R10+1"); /* ...until one has waited for too long */
	fake_complete(fake, 0, 0);
	assert_order(fake, "R70");
	end(fake);
}

/* Who sends many requests, always ahead of another one's, doesn't keep that one waiting for them all. */
static void test_deadline_serves_connections_in_turn(void **state)
{
	struct fake *fake = new_deadline();
	unsigned others = 0;

	(void)state;
	for (unsigned i = 0; i < 60; i++)
		add_from(fake, 0, PLATTER_OP_READ, i * 512, 512, 0);
	add_from(fake, 1, PLATTER_OP_READ, 120 * 512, 512, 0);
	fake_dispatch(fake);
	while (fake->submitted[0]->offset != 120 * 512) {
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
		others++;
	}
	assert_in_range(others, 1, 32);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	complete_all(fake, 0);
	end(fake);
}

static void test_deadline_holds_writes_back_where_reads_come(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	set(fake, "queue_depth", "4");
	set(fake, "async_depth", "2");
	add(fake, PLATTER_OP_READ, 50 * 512, 512, 0);
	for (unsigned i = 0; i < 4; i++)
		add(fake, PLATTER_OP_WRITE, i * 1024, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R50+1 W0+1 W2+1");
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1");
	/* Until no read has come for as long as one may wait. */
	fake->block.now += 500 * UINT64_C(1000000);
	add(fake, PLATTER_OP_WRITE, 4 * 1024, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1 W4+1 W6+1");
	complete_all(fake, 0);
	end(fake);
}

static void test_deadline_counts_long_writes_by_their_bytes(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	set(fake, "nomerges", "2");
	add(fake, PLATTER_OP_READ, 0, 512, 0);
	for (unsigned i = 1; i < 6; i++)
		add(fake, PLATTER_OP_ZEROES, i << 20, i < 3 ? 512 : ELEVATOR_ASYNC_BYTES / 2, 0);
	/* A turn for each of the long ones, which might take the driver long. */
	for (unsigned turn = 0; turn < 3; turn++)
		fake_dispatch(fake);
	assert_driver_has(fake, "R0+1 Z2048+1 Z4096+1 Z6144+512 Z8192+512");
	/* The fake's memory is smaller than that. */
	complete_all(fake, -EIO);
	end(fake);
}

static void test_deadline_merges_writes_less_where_reads_come(void **state)
{
	struct fake *fake = new_with("deadline");
	uint64_t half = ELEVATOR_ASYNC_BYTES / 2;

	(void)state;
	add(fake, PLATTER_OP_READ, 0, 512, 0);
	for (unsigned i = 1; i < 4; i++)
		add(fake, PLATTER_OP_ZEROES, i * half, half, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R0+1 Z512+1024");
	fake_complete(fake, 0, 0);
	fake->block.now += 500 * UINT64_C(1000000);
	for (unsigned i = 5; i < 8; i++)
		add(fake, PLATTER_OP_ZEROES, i * half, half, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "Z512+1024 Z1536+512 Z2560+1536");
	/* The fake's memory is smaller than that. */
	complete_all(fake, -EIO);
	end(fake);
}

static void test_deadline_merges(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	add(fake, PLATTER_OP_READ, 1024, 512, 0);
	add(fake, PLATTER_OP_READ, 1024, 512, 0); /* the same again is a request of its own */
	add(fake, PLATTER_OP_READ, 512, 512, 0);
	add(fake, PLATTER_OP_READ, 1536, 512, 0);
	add(fake, PLATTER_OP_WRITE, 2048, 512, 0);
	add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "R1+2 R2+2 W4+1 W0+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline_sorts),
		cmocka_unit_test(test_deadline_prefers_reads_but_starves_no_writes),
		cmocka_unit_test(test_deadline_starves_no_reads),
		cmocka_unit_test(test_deadline_lets_none_expire),
		cmocka_unit_test(test_deadline_serves_connections_in_turn),
		cmocka_unit_test(test_deadline_holds_writes_back_where_reads_come),
		cmocka_unit_test(test_deadline_counts_long_writes_by_their_bytes),
		cmocka_unit_test(test_deadline_merges_writes_less_where_reads_come),
		cmocka_unit_test(test_deadline_merges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
