/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes to the driver next, and what goes with it: elevators, merging, queue depth, and what can be set of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/block/elevator.h"
#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

#define MOST 64

static struct software_queue connections[2];
static struct request *requests[MOST];
static unsigned count;

static struct queue *queue_of(struct fake *fake)
{
	return &fake->disk->queues[0];
}

static void set(struct fake *fake, const char *name, const char *value)
{
	struct platter_error error = { "" };

	assert_int_equal(limits_set(fake->disk, name, value, &error), 0);
}

static struct fake *new_with(const char *scheduler)
{
	struct fake *fake = fake_new();

	count = 0;
	for (unsigned i = 0; i < 2; i++)
		software_queue_init(&connections[i]);
	set(fake, "scheduler", scheduler);
	return fake;
}

static struct request *add_from(struct fake *fake, unsigned connection, enum platter_op op, uint64_t offset, uint64_t length,
				uint16_t flags)
{
	struct request *request = fake_request(fake, op, offset, length);

	assert_in_range(count, 0, MOST - 1);
	requests[count++] = request;
	request->driver.flags = flags;
	request->from = &connections[connection];
	if (op == PLATTER_OP_READ || op == PLATTER_OP_WRITE)
		assert_int_equal(request_allocate(request), 0);
	/* Every block has its own content. */
	if (op == PLATTER_OP_WRITE)
		memset(request->driver.iov[0].iov_base, (int)('a' + offset / 512), request->driver.iov[0].iov_len);
	queue_add(queue_of(fake), request);
	return request;
}

static struct request *add(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length, uint16_t flags)
{
	return add_from(fake, 0, op, offset, length, flags);
}

static void end(struct fake *fake)
{
	assert_int_equal(fake_ended, count);
	assert_int_equal(queue_of(fake)->waiting, 0);
	for (unsigned i = 0; i < count; i++)
		request_put(requests[i]);
	fake_free(fake);
}

/* What the driver has, oldest first, as "W0+4" for a write of 4 blocks of 512 bytes at block 0. */
static void assert_driver_has(const struct fake *fake, const char *expected)
{
	static const char names[] = "RWFTZC";
	char text[1024] = "";
	size_t length = 0;

	for (unsigned i = 0; i < fake->count; i++) {
		const struct platter_request *request = fake->submitted[i];

		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%c%ju+%ju%s", i ? " " : "", names[request->op],
					   (uintmax_t)request->offset / 512, (uintmax_t)request->length / 512,
					   request->flags & PLATTER_REQ_FUA ? "!" : "");
	}
	assert_string_equal(text, expected);
}

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

static void test_deadline_holds_writes_back_to_leave_room_for_reads(void **state)
{
	struct fake *fake = new_with("deadline");

	(void)state;
	set(fake, "queue_depth", "4");
	set(fake, "async_depth", "2");
	for (unsigned i = 0; i < 4; i++)
		add(fake, PLATTER_OP_WRITE, i * 1024, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1");
	add(fake, PLATTER_OP_READ, 50 * 512, 512, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W0+1 W2+1 R50+1");
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_driver_has(fake, "W2+1 R50+1 W4+1");
	while (fake->count) {
		fake_complete(fake, 0, 0);
		fake_dispatch(fake);
	}
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
	assert_driver_has(fake, "R1+3 R2+1 W4+1 W0+1");
	while (fake->count)
		fake_complete(fake, 0, 0);
	end(fake);
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

static void assert_refused(struct fake *fake, const char *name, const char *value, int expected, const char *reason)
{
	struct platter_error error = { "" };

	assert_int_equal(limits_set(fake->disk, name, value, &error), expected);
	assert_non_null(strstr(error.text, reason));
}

static void test_what_can_be_set(void **state)
{
	struct fake *fake = new_with("none");
	char text[64];

	(void)state;
	assert_refused(fake, "scheduler", "bfq", -EINVAL, "\"bfq\": there are none merge deadline");
	assert_refused(fake, "nr_request", "1", -ENOENT, "nr_request");
	assert_refused(fake, "rotational", "1", -EACCES, "only be read");
	assert_refused(fake, "queue_depth", "0", -EINVAL, "\"0\" is not a number from 1 to 1024");
	assert_refused(fake, "queue_depth", "1025", -EINVAL, "1025");
	assert_refused(fake, "queue_depth", "4x", -EINVAL, "4x");
	assert_refused(fake, "queue_depth", "", -EINVAL, "\"\"");
	assert_refused(fake, "queue_depth", "-1", -EINVAL, "-1");
	assert_refused(fake, "queue_depth", "99999999999999999999", -EINVAL, "99999999999999999999");
	fake->disk->geometry.queue_depth = 32; /* the driver's own bound */
	assert_refused(fake, "queue_depth", "33", -EINVAL, "1 to 32");
	set(fake, "queue_depth", "32");
	set(fake, "scheduler", "deadline");
	assert_string_equal(limits_name(0), "scheduler");
	limits_show(fake->disk, 0, text, sizeof(text));
	assert_string_equal(text, "none merge [deadline]");
	end(fake);
}

static void assert_default(struct fake *fake, uint32_t capabilities, const char *expected)
{
	fake->disk->geometry.capabilities = capabilities;
	fake->disk->geometry.queue_depth = 8;
	limits_opened(fake->disk);
	assert_string_equal(fake->disk->limits.limits.elevator->name, expected);
	assert_int_equal(fake->disk->limits.limits.queue_depth, 8);
}

static void test_defaults_follow_the_driver_until_somebody_asks(void **state)
{
	struct fake *fake = fake_new();

	(void)state;
	count = 0;
	assert_default(fake, 0, "merge");
	assert_default(fake, PLATTER_DISK_LENDS, "none");
	assert_default(fake, PLATTER_DISK_ANY_THREAD, "none");
	assert_default(fake, PLATTER_DISK_ROTATIONAL, "deadline");
	set(fake, "scheduler", "merge");
	assert_default(fake, PLATTER_DISK_ROTATIONAL, "merge");
	end(fake);
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
		cmocka_unit_test(test_members_of_a_failed_one_are_tried_one_by_one),
		cmocka_unit_test(test_failed_fua_is_not_tried_again),
		cmocka_unit_test(test_fua_without_space_is_tried_one_by_one),
		cmocka_unit_test(test_limits_of_what_is_merged),
		cmocka_unit_test(test_what_a_driver_lends_is_not_merged),
		cmocka_unit_test(test_a_driver_is_given_what_it_takes),
		cmocka_unit_test(test_connections_take_turns),
		cmocka_unit_test(test_deadline_sorts),
		cmocka_unit_test(test_deadline_prefers_reads_but_starves_no_writes),
		cmocka_unit_test(test_deadline_lets_none_expire),
		cmocka_unit_test(test_deadline_holds_writes_back_to_leave_room_for_reads),
		cmocka_unit_test(test_deadline_merges),
		cmocka_unit_test(test_the_elevator_changes_under_way),
		cmocka_unit_test(test_what_waits_can_be_dropped),
		cmocka_unit_test(test_what_can_be_set),
		cmocka_unit_test(test_defaults_follow_the_driver_until_somebody_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
