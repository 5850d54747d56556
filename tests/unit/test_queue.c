/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk's queue: splitting, dropping, the order of overlapping changes. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

static struct queue *queue_of(struct fake *fake)
{
	return &fake->disk->queues[0];
}

static struct request *add(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length, uint16_t flags)
{
	struct request *request = fake_request(fake, op, offset, length);

	request->driver.flags = flags;
	if (op == PLATTER_OP_READ || op == PLATTER_OP_WRITE)
		assert_int_equal(request_allocate(request), 0);
	queue_add(queue_of(fake), request);
	return request;
}

static void test_requests_reach_the_driver_in_order(void **state)
{
	struct fake *fake = fake_new();
	struct request *requests[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		requests[i] = add(fake, PLATTER_OP_WRITE, i * 512, 512, 0);
	assert_int_equal(fake->count, 0); /* not before the dispatch */
	fake_dispatch(fake);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(fake->submitted[i], &requests[i]->driver);
	fake_complete(fake, 1, -ENOSPC);
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 3);
	assert_int_equal(requests[0]->error, 0);
	assert_int_equal(requests[1]->error, -ENOSPC);
	for (unsigned i = 0; i < 3; i++)
		request_put(requests[i]);
	fake_free(fake);
}

static void test_long_zeroes_go_in_parts_one_at_a_time(void **state)
{
	struct fake *fake = fake_new();
	struct request *request;

	(void)state;
	fake->disk->geometry.max_zeroes = 4096;
	request = add(fake, PLATTER_OP_ZEROES, 512, 10000, 0); /* the parts end at multiples of the limit */
	for (unsigned part = 0; part < 3; part++) {
		fake_dispatch(fake);
		assert_int_equal(fake->count, 1);
		assert_int_equal(fake->submitted[0]->offset, part == 0 ? 512 : part * 4096);
		assert_int_equal(fake->submitted[0]->length, part == 0 ? 4096 - 512 : part == 1 ? 4096 : 512 + 10000 - 2 * 4096);
		assert_int_equal(fake_ended, 0);
		fake_complete(fake, 0, 0);
	}
	assert_int_equal(fake_ended, 1);
	assert_int_equal(request->error, 0);
	request_put(request);
	fake_free(fake);
}

static void test_parts_that_end_inside_submit_take_a_turn_each(void **state)
{
	struct fake *fake = fake_new();
	struct request *request, *other;

	(void)state;
	fake->disk->geometry.max_zeroes = 4096;
	fake->at_once = true;
	request = add(fake, PLATTER_OP_ZEROES, 0, 3 * 4096, 0);
	other = add(fake, PLATTER_OP_TRIM, 60000, 512, 0);
	block_dispatch(&fake->block);
	assert_true(block_has_work(&fake->block)); /* more is left */
	assert_int_equal(fake_ended, 1);           /* the other one wasn't held up */
	assert_int_equal(other->error, 0);
	block_dispatch(&fake->block);
	assert_true(block_has_work(&fake->block));
	block_dispatch(&fake->block);
	assert_false(block_has_work(&fake->block));
	assert_int_equal(fake_ended, 2);
	assert_int_equal(fake->total, 4);
	request_put(request);
	request_put(other);
	fake_free(fake);
}

/* Many long ones together hold up a reactor no longer than one does. */
static void test_a_turn_zeroes_no_more_than_one_request_may(void **state)
{
	struct fake *fake = fake_new();
	struct request *requests[4];

	(void)state;
	fake->disk->geometry.max_zeroes = 4096;
	fake->at_once = true;
	memset(fake->memory, 'o', sizeof(fake->memory));
	requests[0] = add(fake, PLATTER_OP_ZEROES, 0, 2 * 4096, 0);
	requests[1] = add(fake, PLATTER_OP_ZEROES, 16384, 2048, PLATTER_REQ_FUA);
	requests[2] = add(fake, PLATTER_OP_ZEROES, 32768, 2048, 0);
	requests[3] = add(fake, PLATTER_OP_WRITE, 32768, 512, 0); /* not before the zeroes */
	memset(requests[3]->driver.iov[0].iov_base, 'n', 512);
	for (unsigned turn = 1; turn <= 3; turn++) {
		static const unsigned submitted[] = { 0, 1, 2, 5 };

		block_dispatch(&fake->block);
		assert_int_equal(block_has_work(&fake->block), turn < 3);
		assert_int_equal(fake->total, submitted[turn]);
	}
	assert_int_equal(fake_ended, 4);
	assert_int_equal(fake->memory[32768 + 511], 'n');
	assert_int_equal(fake->memory[32768 + 512], 0);
	for (unsigned i = 0; i < 4; i++)
		request_put(requests[i]);
	fake_free(fake);
}

/* However many others come, each turn: a long one gets on, with FUA or without. */
static void test_long_zeroes_are_not_starved(void **state)
{
	struct fake *fake = fake_new();
	struct request *requests[2 + 3 * 16];

	(void)state;
	fake->disk->geometry.max_zeroes = 4096;
	fake->at_once = true;
	requests[0] = add(fake, PLATTER_OP_ZEROES, 0, 3 * 4096, 0);
	requests[1] = add(fake, PLATTER_OP_ZEROES, 16384, 3 * 4096, PLATTER_REQ_FUA);
	for (unsigned turn = 0; turn < 16; turn++) {
		for (unsigned i = 2 + 3 * turn; i < 2 + 3 * (turn + 1); i++)
			requests[i] = add(fake, PLATTER_OP_ZEROES, 32768 + i % 8 * 4096, 4096, i % 3 ? 0 : PLATTER_REQ_FUA);
		block_dispatch(&fake->block);
	}
	assert_true(list_empty(&requests[0]->change));
	assert_true(list_empty(&requests[1]->change));
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 2 + 3 * 16);
	for (unsigned i = 0; i < 2 + 3 * 16; i++)
		request_put(requests[i]);
	fake_free(fake);
}

static void test_a_failing_part_fails_the_whole(void **state)
{
	struct fake *fake = fake_new();
	struct request *request;

	(void)state;
	fake->disk->geometry.max_trim = 4096;
	request = add(fake, PLATTER_OP_TRIM, 0, 3 * 4096, 0);
	fake_dispatch(fake);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	fake_complete(fake, 0, -EIO);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 0);
	assert_int_equal(fake_ended, 1);
	assert_int_equal(request->error, -EIO);
	request_put(request);
	fake_free(fake);
}

/* The data of a split WRITE arrives, wherever the segments and the parts begin. */
static void test_a_split_write_keeps_its_data(void **state)
{
	struct fake *fake = fake_new();
	uint8_t data[9000];
	struct request *request = fake_request(fake, PLATTER_OP_WRITE, 100, sizeof(data));
	static const size_t cuts[] = { 0, 1, 700, 5000, 5001, sizeof(data) };

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(request_reserve_segments(request, 5), 0);
	for (unsigned i = 0; i < 5; i++)
		request->driver.iov[i] = (struct iovec){ data + cuts[i], cuts[i + 1] - cuts[i] };
	request->driver.iovcnt = 5;
	fake->disk->geometry.max_request = 2048;
	fake->disk->geometry.max_segments = 2;
	fake->at_once = true;
	queue_add(queue_of(fake), request);
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 1);
	assert_int_equal(request->error, 0);
	assert_memory_equal(fake->memory + 100, data, sizeof(data));
	assert_int_equal(fake->memory[99], 0);
	assert_int_equal(fake->memory[100 + sizeof(data)], 0);
	request_put(request);
	fake_free(fake);
}

static void test_dropped_requests_never_reach_the_driver(void **state)
{
	struct fake *fake = fake_new();
	struct request *mine = add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	struct request *flush = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	struct request *other = add(fake, PLATTER_OP_WRITE, 512, 512, 0);

	(void)state;
	other->owner = NULL;
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 2);
	assert_int_equal(mine->error, -ECANCELED);
	assert_int_equal(flush->error, -ECANCELED);
	fake_dispatch(fake);
	assert_int_equal(fake->total, 1);
	assert_ptr_equal(fake->submitted[0], &other->driver);
	fake_complete(fake, 0, 0);
	request_put(mine);
	request_put(flush);
	request_put(other);
	fake_free(fake);
}

/* Also when they were merged already, and the turn had no room for that. */
static void test_what_was_merged_and_put_off_can_be_dropped(void **state)
{
	struct fake *fake = fake_new();
	struct request *requests[4];

	(void)state;
	fake->disk->limits.limits.elevator = &elevator_merge;
	atomic_fetch_add(&fake->disk->limits.generation, 1);
	fake->disk->geometry.max_trim = 4096;
	requests[0] = add(fake, PLATTER_OP_TRIM, 0, 4096, 0);
	for (unsigned i = 1; i < 4; i++)
		requests[i] = add(fake, PLATTER_OP_TRIM, 7168 + i * 1024, 1024, 0);
	requests[0]->owner = requests[2]->owner = NULL;
	block_dispatch(&fake->block);
	assert_int_equal(fake->count, 1);
	queue_drop(queue_of(fake), fake);
	/* What wasn't issued doesn't count as merged. */
	assert_int_equal(queue_of(fake)->account.account.merged[PLATTER_OP_TRIM], 0);
	assert_int_equal(fake_ended, 2);
	assert_int_equal(requests[1]->error, -ECANCELED);
	assert_int_equal(requests[3]->error, -ECANCELED);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 2);
	assert_ptr_equal(fake->submitted[1], &requests[2]->driver);
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 4);
	for (unsigned i = 0; i < 4; i++)
		request_put(requests[i]);
	fake_free(fake);
}

static void test_a_change_waits_for_all_that_it_overlaps(void **state)
{
	struct fake *fake = fake_new();
	struct request *a = add(fake, PLATTER_OP_WRITE, 0, 1024, 0);
	struct request *b = add(fake, PLATTER_OP_WRITE, 2048, 1024, 0);
	struct request *both = add(fake, PLATTER_OP_WRITE, 0, 4096, 0);

	(void)state;
	fake_dispatch(fake);
	assert_int_equal(fake->total, 2);
	fake_complete(fake, 1, 0); /* b, the later one of the two */
	fake_dispatch(fake);
	assert_int_equal(fake->total, 2);
	fake_complete(fake, 0, -EIO); /* a; how it ended doesn't matter */
	fake_dispatch(fake);
	assert_int_equal(fake->total, 3);
	fake_complete(fake, 0, 0);
	request_put(a);
	request_put(b);
	request_put(both);
	fake_free(fake);
}

static void test_dropping_spares_who_waits_for_the_dropped(void **state)
{
	struct fake *fake = fake_new();
	struct request *running = add(fake, PLATTER_OP_WRITE, 0, 1024, 0);
	struct request *mine[2] = { add(fake, PLATTER_OP_WRITE, 0, 2048, 0), add(fake, PLATTER_OP_WRITE, 0, 2048, 0) };
	struct request *other = add(fake, PLATTER_OP_WRITE, 1024, 2048, 0);

	(void)state;
	running->owner = other->owner = NULL;
	fake_dispatch(fake);
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 2);
	assert_int_equal(mine[0]->error, -ECANCELED);
	assert_int_equal(mine[1]->error, -ECANCELED);
	fake_dispatch(fake);
	assert_int_equal(fake->total, 2);
	assert_ptr_equal(fake->submitted[1], &other->driver);
	fake_complete(fake, 0, 0);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 4);
	request_put(running);
	request_put(mine[0]);
	request_put(mine[1]);
	request_put(other);
	fake_free(fake);
}

static void test_overlapping_changes_keep_their_order(void **state)
{
	struct fake *fake = fake_new();
	struct request *first = add(fake, PLATTER_OP_ZEROES, 0, 4096, 0);
	struct request *second = add(fake, PLATTER_OP_WRITE, 2048, 4096, 0);
	struct request *third = add(fake, PLATTER_OP_TRIM, 6000, 512, PLATTER_REQ_FUA);
	struct request *apart = add(fake, PLATTER_OP_WRITE, 8192, 512, 0);
	struct request *read = add(fake, PLATTER_OP_READ, 0, 512, 0);

	(void)state;
	fake_dispatch(fake);
	/* The second one waits for the first, the third for the second. */
	assert_int_equal(fake->count, 3);
	assert_ptr_equal(fake->submitted[0], &first->driver);
	assert_ptr_equal(fake->submitted[1], &apart->driver);
	assert_ptr_equal(fake->submitted[2], &read->driver);
	fake_complete(fake, 1, 0); /* which frees nobody */
	fake_dispatch(fake);
	assert_int_equal(fake->count, 2);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 2);
	assert_ptr_equal(fake->submitted[1], &second->driver);
	fake_complete(fake, 1, -EIO);
	fake_dispatch(fake);
	assert_ptr_equal(fake->submitted[1], &third->driver);
	fake_complete(fake, 1, 0);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 5);
	request_put(first);
	request_put(second);
	request_put(third);
	request_put(apart);
	request_put(read);
	fake_free(fake);
}

static unsigned wakes;

static void count_wake(struct block *block)
{
	(void)block;
	__atomic_fetch_add(&wakes, 1, __ATOMIC_SEQ_CST);
}

static void *complete_all(void *argument)
{
	struct fake *fake = argument;

	while (fake->count)
		fake_complete(fake, 0, 0);
	return NULL;
}

static void test_other_threads_completions_come_home(void **state)
{
	struct fake *fake = fake_new();
	struct request *requests[8];
	pthread_t thread;

	(void)state;
	wakes = 0;
	fake->block.wake = count_wake;
	for (unsigned i = 0; i < 8; i++)
		requests[i] = add(fake, PLATTER_OP_TRIM, i, 1, 0);
	fake_dispatch(fake);
	pthread_create(&thread, NULL, complete_all, fake);
	pthread_join(thread, NULL);
	assert_int_equal(fake_ended, 0);
	assert_int_equal(wakes, 1); /* for the first of them */
	block_collect(&fake->block);
	assert_int_equal(fake_ended, 8);
	for (unsigned i = 0; i < 8; i++)
		request_put(requests[i]);
	fake_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_reach_the_driver_in_order),
		cmocka_unit_test(test_long_zeroes_go_in_parts_one_at_a_time),
		cmocka_unit_test(test_parts_that_end_inside_submit_take_a_turn_each),
		cmocka_unit_test(test_a_turn_zeroes_no_more_than_one_request_may),
		cmocka_unit_test(test_long_zeroes_are_not_starved),
		cmocka_unit_test(test_a_change_waits_for_all_that_it_overlaps),
		cmocka_unit_test(test_dropping_spares_who_waits_for_the_dropped),
		cmocka_unit_test(test_what_was_merged_and_put_off_can_be_dropped),
		cmocka_unit_test(test_a_failing_part_fails_the_whole),
		cmocka_unit_test(test_a_split_write_keeps_its_data),
		cmocka_unit_test(test_dropped_requests_never_reach_the_driver),
		cmocka_unit_test(test_overlapping_changes_keep_their_order),
		cmocka_unit_test(test_other_threads_completions_come_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
