/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers, requests' segments, the memory budget, and what drivers say of themselves. */
#include <errno.h>
#include <string.h>

#include "server/block/block.h"
#include "server/block/error.h"
#include "server/block/geometry.h"
#include "server/block/request.h"
#include "tests/unit/unit.h"

static void test_buffers_come_back_and_go_when_unused(void **state)
{
	struct buffers buffers = { .bytes = 0 };
	struct buffer *a = buffer_get(&buffers, BUFFER_SMALL);
	struct buffer *b = buffer_get(&buffers, BUFFER_SEGMENT);
	struct buffer *c;

	(void)state;
	assert_int_equal(buffers.bytes, BUFFER_SMALL_SIZE + BUFFER_SEGMENT_SIZE);
	memset(b->memory, 1, BUFFER_SEGMENT_SIZE);
	buffer_put(a);
	assert_ptr_equal(buffer_get(&buffers, BUFFER_SMALL), a);
	a->users++;
	buffer_put(a);
	c = buffer_get(&buffers, BUFFER_SMALL);
	assert_ptr_not_equal(c, a); /* which is still in use */
	buffer_put(a);
	buffer_put(b);
	buffer_put(NULL);
	/* Used since the last look: it stays; unused for a whole interval: it goes. */
	buffers_trim(&buffers);
	assert_ptr_equal(buffer_get(&buffers, BUFFER_SEGMENT), b);
	buffer_put(b);
	buffers_trim(&buffers);
	assert_int_equal(buffers.bytes, BUFFER_SMALL_SIZE + BUFFER_SEGMENT_SIZE);
	buffers_trim(&buffers);
	assert_int_equal(buffers.bytes, BUFFER_SMALL_SIZE); /* the one that is out */
	buffer_put(c);
	buffers_destroy(&buffers);
	assert_int_equal(buffers.bytes, 0);
}

static void test_segments_cover_any_length(void **state)
{
	static const uint64_t lengths[] = { 1, 4096, 4097, 256 << 10, (256 << 10) + 1, 1 << 20, (64 << 20) - 1, 64 << 20 };
	struct block block;

	(void)state;
	block_init(&block, 0, UINT64_C(1) << 30);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct request *request = request_get(&block);

		request->driver.length = lengths[i];
		assert_int_equal(request_allocate(request), 0);
		assert_int_equal(request_segments_length(request), lengths[i]);
		for (unsigned j = 0; j < request->driver.iovcnt; j++)
			assert_int_equal((uintptr_t)request->driver.iov[j].iov_base % 4096, 0);
		request_put(request);
	}
	assert_int_equal(block.allocations, 1);
	block_destroy(&block);
}

/* As disks that stand on many others lend it: in more pieces than there was room for at first. */
static void test_what_is_lent_may_come_in_many_pieces(void **state)
{
	static const char memory[20000];
	struct request *request;
	struct block block;

	(void)state;
	block_init(&block, 0, UINT64_C(1) << 30);
	request = request_get(&block);
	request->driver.length = 16385;
	for (unsigned i = 0; i < 16384; i++)
		assert_int_equal(platter_request_lend(&request->driver, memory + i, 1), 0);
	assert_int_equal(platter_request_lend(&request->driver, memory, 1), -ENOBUFS);
	assert_int_equal(request->driver.iovcnt, 16384);
	for (unsigned i = 0; i < 16384; i++)
		assert_true(request->driver.iov[i].iov_base == memory + i && request->driver.iov[i].iov_len == 1);
	request_put(request);
	block_destroy(&block);
	assert_int_equal(block.buffers.bytes, 0);
}

static void test_a_longer_piece_than_was_asked_for_is_not_lent(void **state)
{
	static const char memory[8192];
	struct request *request;
	struct block block;

	(void)state;
	block_init(&block, 0, UINT64_C(1) << 30);
	request = request_get(&block);
	request->driver.length = 4096;
	assert_int_equal(platter_request_lend(&request->driver, memory, 0), 0);
	assert_int_equal(request->driver.iovcnt, 0);
	assert_int_equal(platter_request_lend(&request->driver, memory, 4097), -EINVAL);
	assert_int_equal(request->driver.iovcnt, 0);
	assert_int_equal(platter_request_lend(&request->driver, memory, 4096), 0);
	assert_int_equal(request_segments_length(request), 4096);
	request_put(request);
	block_destroy(&block);
}

static void test_segments_go_with_the_data(void **state)
{
	struct request *request;
	struct block block;

	(void)state;
	block_init(&block, 0, UINT64_C(1) << 30);
	request = request_get(&block);
	request->driver.length = 8 * BUFFER_SEGMENT_SIZE;
	assert_int_equal(request_allocate(request), 0);
	assert_ptr_not_equal(request->driver.iov, request->inline_segments);
	request_release_data(request);
	/* What it sends instead isn't written into memory that others have by now. */
	assert_ptr_equal(request->driver.iov, request->inline_segments);
	assert_int_equal(request->capacity, REQUEST_INLINE_SEGMENTS);
	request_put(request);
	block_destroy(&block);
}

static void test_a_request_is_cut_anywhere(void **state)
{
	struct request *request;
	struct block block;

	(void)state;
	block_init(&block, 0, UINT64_C(1) << 30);
	for (uint64_t length = 1; length < 3 * BUFFER_SEGMENT_SIZE; length += BUFFER_SEGMENT_SIZE / 2 - 1) {
		request = request_get(&block);
		request->driver.length = 3 * BUFFER_SEGMENT_SIZE;
		assert_int_equal(request_allocate(request), 0);
		request_cut(request, length);
		assert_int_equal(request_segments_length(request), length);
		assert_int_equal(request->driver.iovcnt, (length + BUFFER_SEGMENT_SIZE - 1) / BUFFER_SEGMENT_SIZE);
		request_put(request);
	}
	block_destroy(&block);
}

static void test_unused_requests_are_freed(void **state)
{
	struct request *requests[10];
	struct block block;

	(void)state;
	block_init(&block, 0, 0);
	for (int i = 0; i < 10; i++)
		requests[i] = request_get(&block);
	for (int i = 0; i < 10; i++)
		request_put(requests[i]);
	block_trim(&block);
	assert_true(block_holds_memory(&block));
	block_trim(&block);
	assert_false(block_holds_memory(&block));
	assert_int_equal(block.free_request_count, 0);
	block_destroy(&block);
}

static int ready_calls;
static struct budget_waiter *ready_last;

static void ready(struct budget_waiter *waiter)
{
	ready_calls++;
	ready_last = waiter;
}

static void test_the_budget_serves_in_order(void **state)
{
	struct budget_waiter a = { .ready = ready }, b = { .ready = ready }, c = { .ready = ready };
	struct budget budget;

	(void)state;
	ready_calls = 0;
	list_init(&a.link);
	list_init(&b.link);
	list_init(&c.link);
	budget_init(&budget, 100);
	assert_true(budget_take(&budget, 60, false, &a));
	assert_false(budget_take(&budget, 60, false, &b));
	assert_false(budget_take(&budget, 10, false, &c)); /* there is room, but B came first */
	assert_true(budget_take(&budget, 1000, true, &a)); /* who has nothing is always let in */
	budget_release(&budget, 1000);
	assert_int_equal(ready_calls, 1);
	assert_ptr_equal(ready_last, &b);
	assert_false(budget_take(&budget, 60, false, &b)); /* 40 are free */
	budget_release(&budget, 60);
	assert_true(budget_take(&budget, 60, false, &b));
	assert_ptr_equal(ready_last, &c); /* and the next one hears of the rest */
	assert_true(budget_take(&budget, 10, false, &c));
	assert_true(list_empty(&budget.waiters));
	assert_false(budget_take(&budget, 31, false, &a));
	assert_false(budget_take(&budget, 30, false, &b));
	budget_forget(&budget, &a); /* whose place the next one takes */
	assert_ptr_equal(ready_last, &b);
	budget_forget(&budget, &a);
	assert_true(budget_take(&budget, 30, false, &b));
	assert_true(list_empty(&budget.waiters));
}

static int checked(struct platter_geometry geometry)
{
	struct platter_error error = { "" };
	int result = geometry_check(&geometry, &error);

	assert_true(result == 0 || error.text[0]);
	return result;
}

static void test_drivers_are_not_believed(void **state)
{
	struct platter_geometry filled = { .bytes = 1 << 20 };
	struct platter_error error;

	(void)state;
	assert_int_equal(geometry_check(&filled, &error), 0);
	assert_int_equal(filled.min_block, 1);
	assert_int_equal(filled.preferred_block, 4096);
	assert_int_equal(filled.memory_alignment, 1);
	assert_int_equal(filled.max_segments, 1024);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 65536, .min_block = 65536 }), 0);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 0 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = UINT64_MAX }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 1000, .min_block = 512 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 3000, .min_block = 3 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 1 << 20, .min_block = 1 << 17 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 4096, .preferred_block = 256 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 8192, .min_block = 4096, .preferred_block = 512 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 4096, .memory_alignment = 8192 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 4096, .min_block = 512, .max_request = 1000 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 4096, .min_block = 512, .max_zeroes = 1000 }), -EINVAL);
	assert_int_equal(checked((struct platter_geometry){ .bytes = 4096, .min_block = 512, .max_trim = 1000 }), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffers_come_back_and_go_when_unused),
		cmocka_unit_test(test_segments_cover_any_length),
		cmocka_unit_test(test_what_is_lent_may_come_in_many_pieces),
		cmocka_unit_test(test_a_longer_piece_than_was_asked_for_is_not_lent),
		cmocka_unit_test(test_segments_go_with_the_data),
		cmocka_unit_test(test_a_request_is_cut_anywhere),
		cmocka_unit_test(test_unused_requests_are_freed),
		cmocka_unit_test(test_the_budget_serves_in_order),
		cmocka_unit_test(test_drivers_are_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
