/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted of requests, of a disk's and of a connection's. */
#include <errno.h>

#include "server/block/account.h"
#include "server/block/elevator.h"
#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

#define MOST 32
#define US 1000u

static struct fake *fake;
static struct software_queue connections[2];
static struct account accounts[2];
static struct request *requests[MOST];
static unsigned count;

static struct queue *the_queue(void)
{
	return &fake->disk->queues[0];
}

static int start(void **state)
{
	(void)state;
	fake = fake_new();
	count = 0;
	fake->block.now = 1000 * US;
	for (unsigned i = 0; i < 2; i++) {
		accounts[i] = (struct account){ .at_once = { 0 } };
		software_queue_init(&connections[i]);
		connections[i].account = &accounts[i];
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(fake_ended, count);
	for (unsigned i = 0; i < count; i++)
		request_put(requests[i]);
	fake_free(fake);
	return 0;
}

/* FROM: a connection, or -1 for none. */
static struct request *add_from(int from, enum platter_op op, uint64_t offset, uint64_t length, uint16_t flags)
{
	struct request *request = fake_request(fake, op, offset, length);

	assert_in_range(count, 0, MOST - 1);
	requests[count++] = request;
	request->driver.flags = flags;
	if (from >= 0)
		request->from = &connections[from];
	if (op == PLATTER_OP_READ || op == PLATTER_OP_WRITE)
		assert_int_equal(request_allocate(request), 0);
	queue_add(the_queue(), request);
	return request;
}

static struct request *add(enum platter_op op, uint64_t offset, uint64_t length)
{
	return add_from(0, op, offset, length, 0);
}

static const struct account *of_disk(void)
{
	account_settle_queue(&the_queue()->account, fake->block.now);
	return &the_queue()->account.account;
}

static const struct account *of_connection(unsigned i)
{
	account_settle(&accounts[i]);
	return &accounts[i];
}

static uint64_t submitted(enum platter_op op)
{
	return the_queue()->account.submitted[op];
}

static uint64_t sum_of(const struct account_time *time)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ACCOUNT_BUCKETS; i++)
		sum += time->buckets[i];
	return sum;
}

static void test_what_ends_at_once_takes_no_time(void **state)
{
	const struct account *accounts_of[2];

	(void)state;
	fake->at_once = true;
	for (unsigned i = 0; i < 5; i++)
		add(PLATTER_OP_WRITE, i * 512, 512);
	add(PLATTER_OP_READ, 0, 1024);
	accounts_of[0] = of_disk();
	accounts_of[1] = of_connection(0);
	for (unsigned i = 0; i < 2; i++) {
		const struct account *account = accounts_of[i];

		assert_int_equal(account->requests[PLATTER_OP_WRITE], 5);
		assert_int_equal(account->bytes[PLATTER_OP_WRITE], 5 * 512);
		assert_int_equal(account->queued[PLATTER_OP_WRITE].buckets[0], 5);
		assert_int_equal(account->serviced[PLATTER_OP_WRITE].buckets[0], 5);
		assert_int_equal(account->serviced[PLATTER_OP_WRITE].ns, 0);
		assert_int_equal(account->in_flight[PLATTER_OP_WRITE], 0);
		assert_int_equal(account->requests[PLATTER_OP_READ], 1);
		assert_int_equal(account->bytes[PLATTER_OP_READ], 1024);
		assert_int_equal(account->requests[PLATTER_OP_TRIM], 0);
	}
	assert_int_equal(submitted(PLATTER_OP_WRITE), 5);
	/* Counters are read more than once. */
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 5);
	assert_int_equal(the_queue()->account.busy_ns, 0);
}

static void test_times_are_those_before_and_after_the_driver_got_it(void **state)
{
	const struct account *account;

	(void)state;
	the_queue()->limits.queue_depth = 1;
	add(PLATTER_OP_READ, 0, 512);
	add(PLATTER_OP_READ, 4096, 512);
	fake->block.now += 3 * US;
	assert_int_equal(of_disk()->in_flight[PLATTER_OP_READ], 2);
	assert_int_equal(of_connection(0)->in_flight[PLATTER_OP_READ], 2);
	fake_complete(fake, 0, 0); /* 0 us in the queue, 3 with the driver */
	fake_dispatch(fake);
	fake->block.now += 10 * US;
	fake_complete(fake, 0, 0); /* 3 and 10 */
	account = of_disk();
	assert_int_equal(account->in_flight[PLATTER_OP_READ], 0);
	assert_int_equal(account->queued[PLATTER_OP_READ].ns, 3 * US);
	assert_int_equal(account->serviced[PLATTER_OP_READ].ns, 13 * US);
	assert_int_equal(account->queued[PLATTER_OP_READ].buckets[0], 1);
	assert_int_equal(account->queued[PLATTER_OP_READ].buckets[2], 1);
	assert_int_equal(account->serviced[PLATTER_OP_READ].buckets[2], 1);
	assert_int_equal(account->serviced[PLATTER_OP_READ].buckets[4], 1);
	assert_int_equal(of_connection(0)->serviced[PLATTER_OP_READ].ns, 13 * US);
}

static void test_buckets_are_powers_of_two_of_microseconds(void **state)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} cases[] = {
		{ 1, 0 }, { 999, 0 }, { 1000, 1 }, { 1999, 1 }, { 2000, 2 }, { 3999, 2 }, { 4000, 3 },
		{ 1023999, 10 }, { 1024000, 11 }, { (UINT64_C(1) << 20) * 1000 - 1, 20 }, { (UINT64_C(1) << 20) * 1000, 21 },
		{ UINT64_C(3600) * 1000000000, 21 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = of_disk()->serviced[PLATTER_OP_TRIM].buckets[cases[i].bucket];

		add(PLATTER_OP_TRIM, 0, 512);
		fake->block.now += cases[i].ns;
		fake_complete(fake, 0, 0);
		assert_int_equal(of_disk()->serviced[PLATTER_OP_TRIM].buckets[cases[i].bucket], before + 1);
	}
}

static void test_a_failure_is_counted_without_its_bytes(void **state)
{
	(void)state;
	fake->at_once = true;
	fake->result = -EIO;
	add(PLATTER_OP_WRITE, 0, 512);
	fake->result = 0;
	add(PLATTER_OP_WRITE, 0, 1024);
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 2);
	assert_int_equal(of_disk()->errors[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->bytes[PLATTER_OP_WRITE], 1024);
	assert_int_equal(of_connection(0)->errors[PLATTER_OP_WRITE], 1);
}

static void test_each_connection_has_its_own_counters_and_the_disk_all(void **state)
{
	(void)state;
	fake->at_once = true;
	add_from(0, PLATTER_OP_READ, 0, 512, 0);
	add_from(1, PLATTER_OP_READ, 0, 512, 0);
	add_from(1, PLATTER_OP_READ, 0, 512, 0);
	add_from(-1, PLATTER_OP_READ, 0, 512, 0);
	fake_dispatch(fake);
	assert_int_equal(of_connection(0)->requests[PLATTER_OP_READ], 1);
	assert_int_equal(of_connection(1)->requests[PLATTER_OP_READ], 2);
	assert_int_equal(of_disk()->requests[PLATTER_OP_READ], 4);
}

static void test_what_is_merged_is_counted_for_each_that_came_along(void **state)
{
	(void)state;
	assert_int_equal(elevator_switch(the_queue(), &elevator_merge), 0);
	add_from(0, PLATTER_OP_WRITE, 512, 512, 0); /* its turn comes first */
	fake->block.now += 2 * US;
	add_from(0, PLATTER_OP_WRITE, 1024, 512, 0);
	add_from(1, PLATTER_OP_WRITE, 0, 512, 0);
	add_from(1, PLATTER_OP_WRITE, 8192, 512, 0); /* apart */
	fake->block.now += 1 * US;
	fake_dispatch(fake);
	fake->block.now += 5 * US;
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 4);
	assert_int_equal(of_disk()->merged[PLATTER_OP_WRITE], 2);
	assert_int_equal(submitted(PLATTER_OP_WRITE), 2);
	assert_int_equal(of_disk()->bytes[PLATTER_OP_WRITE], 4 * 512);
	/* Each has waited since it came itself. */
	assert_int_equal(of_disk()->queued[PLATTER_OP_WRITE].ns, (3 + 1 + 1 + 1) * US);
	assert_int_equal(of_disk()->serviced[PLATTER_OP_WRITE].ns, 4 * 5 * US);
	assert_int_equal(of_connection(0)->merged[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_connection(1)->merged[PLATTER_OP_WRITE], 1);
}

static void test_members_of_a_failed_merge_are_counted_once(void **state)
{
	(void)state;
	assert_int_equal(elevator_switch(the_queue(), &elevator_merge), 0);
	for (unsigned i = 0; i < 3; i++)
		add(PLATTER_OP_WRITE, i * 512, 512);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 1);
	fake_complete(fake, 0, -EIO);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 3);
	fake_complete(fake, 1, -EIO);
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 3);
	assert_int_equal(of_disk()->errors[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->bytes[PLATTER_OP_WRITE], 2 * 512);
	assert_int_equal(submitted(PLATTER_OP_WRITE), 4);
}

static void test_a_split_request_is_one_of_several_parts(void **state)
{
	(void)state;
	fake->disk->geometry.max_request = 1024;
	add(PLATTER_OP_WRITE, 0, 3072);
	for (unsigned i = 0; i < 3; i++) {
		fake_dispatch(fake);
		fake->block.now += 1 * US;
		fake_complete(fake, 0, 0);
	}
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->bytes[PLATTER_OP_WRITE], 3072);
	assert_int_equal(submitted(PLATTER_OP_WRITE), 3);
	assert_int_equal(of_disk()->queued[PLATTER_OP_WRITE].ns, 0);
	assert_int_equal(of_disk()->serviced[PLATTER_OP_WRITE].ns, 3 * US);
}

static void test_flushes_that_share_a_sync_are_merged(void **state)
{
	const struct account *account;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		add(PLATTER_OP_FLUSH, 0, 0);
	fake->block.now += 2 * US;
	fake_dispatch(fake);
	add(PLATTER_OP_FLUSH, 0, 0); /* the next group's */
	fake->block.now += 4 * US;
	fake_complete(fake, 0, 0);
	account = of_disk();
	assert_int_equal(account->requests[PLATTER_OP_FLUSH], 3);
	assert_int_equal(account->merged[PLATTER_OP_FLUSH], 2);
	assert_int_equal(submitted(PLATTER_OP_FLUSH), 1);
	assert_int_equal(account->queued[PLATTER_OP_FLUSH].ns, 3 * 2 * US);
	assert_int_equal(account->serviced[PLATTER_OP_FLUSH].ns, 3 * 4 * US);
	fake_dispatch(fake);
	fake_complete(fake, 0, 0);
	assert_int_equal(of_disk()->requests[PLATTER_OP_FLUSH], 4);
	assert_int_equal(submitted(PLATTER_OP_FLUSH), 2);
}

/* The sync behind writes with FUA is nobody's request. */
static void test_a_sync_of_the_queue_s_own_is_no_request(void **state)
{
	(void)state;
	fake->at_once = true;
	add_from(0, PLATTER_OP_WRITE, 0, 512, PLATTER_REQ_FUA);
	add_from(0, PLATTER_OP_WRITE, 4096, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 2);
	assert_int_equal(of_disk()->requests[PLATTER_OP_FLUSH], 0);
	assert_int_equal(of_disk()->in_flight[PLATTER_OP_FLUSH], 0);
	assert_int_equal(submitted(PLATTER_OP_FLUSH), 1);
}

static void test_what_a_failed_disk_refuses_has_only_waited(void **state)
{
	(void)state;
	disk_failed(fake->disk, -EIO);
	add(PLATTER_OP_FLUSH, 0, 0);
	fake->block.now += 7 * US;
	fake_dispatch(fake);
	assert_int_equal(of_disk()->requests[PLATTER_OP_FLUSH], 1);
	assert_int_equal(of_disk()->errors[PLATTER_OP_FLUSH], 1);
	assert_int_equal(of_disk()->queued[PLATTER_OP_FLUSH].ns, 7 * US);
	assert_int_equal(of_disk()->serviced[PLATTER_OP_FLUSH].ns, 0);
	assert_int_equal(submitted(PLATTER_OP_FLUSH), 0);
}

static void test_what_is_dropped_was_no_request(void **state)
{
	(void)state;
	the_queue()->limits.queue_depth = 1;
	add(PLATTER_OP_WRITE, 0, 512);
	add(PLATTER_OP_WRITE, 0, 512);    /* waits for the first one's data */
	add(PLATTER_OP_WRITE, 4096, 512); /* for its turn */
	add(PLATTER_OP_FLUSH, 0, 0);      /* for its group */
	assert_int_equal(of_disk()->in_flight[PLATTER_OP_WRITE], 3);
	queue_drop(the_queue(), fake);
	assert_int_equal(of_disk()->in_flight[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->in_flight[PLATTER_OP_FLUSH], 0);
	/* From a driver it is an error like any other. */
	fake_complete(fake, 0, -ECANCELED);
	assert_int_equal(of_disk()->requests[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->errors[PLATTER_OP_WRITE], 1);
	assert_int_equal(of_disk()->requests[PLATTER_OP_FLUSH], 0);
	assert_int_equal(sum_of(&of_disk()->queued[PLATTER_OP_WRITE]), 1);
	assert_int_equal(of_connection(0)->in_flight[PLATTER_OP_WRITE], 0);
}

static void test_a_disk_is_busy_while_it_has_any_request(void **state)
{
	(void)state;
	fake->block.now += 10 * US;
	add(PLATTER_OP_READ, 0, 512);
	fake->block.now += 4 * US;
	add(PLATTER_OP_READ, 0, 512);
	fake->block.now += 3 * US;
	fake_complete(fake, 0, 0);
	fake->block.now += 2 * US;
	of_disk();
	assert_int_equal(the_queue()->account.busy_ns, 9 * US); /* so far */
	fake->block.now += 1 * US;
	fake_complete(fake, 0, 0);
	fake->block.now += 100 * US;
	of_disk();
	assert_int_equal(the_queue()->account.busy_ns, 10 * US);
}

/* Who reads the counters looks at the clock later than the queue's thread did. */
static void test_reading_ahead_of_the_queue_s_clock_counts_no_time_twice(void **state)
{
	(void)state;
	add(PLATTER_OP_READ, 0, 512);
	account_settle_queue(&the_queue()->account, fake->block.now + 5 * US);
	assert_int_equal(the_queue()->account.busy_ns, 5 * US);
	add(PLATTER_OP_READ, 0, 512);
	fake->block.now += 3 * US;
	fake_complete(fake, 0, 0);
	of_disk();
	assert_int_equal(the_queue()->account.busy_ns, 5 * US); /* nothing that was told is taken back */
	fake->block.now += 5 * US;
	fake_complete(fake, 0, 0);
	of_disk();
	assert_int_equal(the_queue()->account.busy_ns, 8 * US);
}

static void test_a_large_request_is_timed_though_it_ends_at_once(void **state)
{
	(void)state;
	fake->at_once = true;
	add(PLATTER_OP_READ, 0, ACCOUNT_LARGE);
	assert_true(fake->block.now > 1000 * US);
	assert_int_equal(of_disk()->requests[PLATTER_OP_READ], 1);
	assert_int_equal(of_disk()->queued[PLATTER_OP_READ].ns, 0);
	assert_int_equal(of_disk()->serviced[PLATTER_OP_READ].ns, fake->block.now - 1000 * US);
}

static void test_queues_add_up(void **state)
{
	struct queue_account sum = { .busy_ns = 0 };

	(void)state;
	the_queue()->account.submitted[PLATTER_OP_READ] = 3;
	add(PLATTER_OP_READ, 0, 512);
	add(PLATTER_OP_READ, 0, 512);
	fake->block.now += 5 * US;
	fake_complete(fake, 0, 0);
	of_disk();
	account_add(&sum, &the_queue()->account);
	account_add(&sum, &the_queue()->account);
	fake_complete(fake, 0, -EIO);
	of_disk();
	account_add(&sum, &the_queue()->account);
	assert_int_equal(sum.account.requests[PLATTER_OP_READ], 1 + 1 + 2);
	assert_int_equal(sum.account.in_flight[PLATTER_OP_READ], 1 + 1 + 0);
	assert_int_equal(sum.account.bytes[PLATTER_OP_READ], 3 * 512);
	assert_int_equal(sum.account.errors[PLATTER_OP_READ], 1);
	assert_int_equal(sum.account.serviced[PLATTER_OP_READ].ns, 4 * 5 * US);
	assert_int_equal(sum.account.serviced[PLATTER_OP_READ].buckets[3], 4);
	assert_int_equal(sum.submitted[PLATTER_OP_READ], 3 * 5);
	assert_int_equal(sum.busy_ns, 5 * US); /* perhaps all at the same time */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_ends_at_once_takes_no_time),
		TEST(test_times_are_those_before_and_after_the_driver_got_it),
		TEST(test_buckets_are_powers_of_two_of_microseconds),
		TEST(test_a_failure_is_counted_without_its_bytes),
		TEST(test_each_connection_has_its_own_counters_and_the_disk_all),
		TEST(test_what_is_merged_is_counted_for_each_that_came_along),
		TEST(test_members_of_a_failed_merge_are_counted_once),
		TEST(test_a_split_request_is_one_of_several_parts),
		TEST(test_flushes_that_share_a_sync_are_merged),
		TEST(test_a_sync_of_the_queue_s_own_is_no_request),
		TEST(test_what_a_failed_disk_refuses_has_only_waited),
		TEST(test_what_is_dropped_was_no_request),
		TEST(test_a_disk_is_busy_while_it_has_any_request),
		TEST(test_reading_ahead_of_the_queue_s_clock_counts_no_time_twice),
		TEST(test_a_large_request_is_timed_though_it_ends_at_once),
		TEST(test_queues_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
