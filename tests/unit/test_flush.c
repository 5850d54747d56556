/* SPDX-License-Identifier: BSD-2-Clause */
/* The durability of FLUSH and FUA: groups that share a sync, and what a failure means. */
#include <errno.h>
#include <string.h>

#include "tests/unit/queue_fixture.h"

static void test_flushes_of_one_batch_share_a_sync(void **state)
{
	struct fake *fake = new_with("none");
	struct request *flushes[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		flushes[i] = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 1);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(flushes[i]->error, 0);
		request_put(flushes[i]);
	}
	fake_free(fake);
}

static void test_a_flush_never_joins_a_running_sync(void **state)
{
	struct fake *fake = new_with("none");
	struct request *first = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	struct request *second;

	(void)state;
	fake_dispatch(fake);
	second = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->total, 1);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 1);
	fake_dispatch(fake);
	assert_int_equal(fake->total, 2);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 2);
	request_put(first);
	request_put(second);
	fake_free(fake);
}

static void test_overlapping_syncs_are_answered_together_and_fail_together(void **state)
{
	struct fake *fake = new_with("none");
	struct request *flush = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	struct request *fua = add(fake, PLATTER_OP_WRITE, 0, 512, PLATTER_REQ_FUA);
	struct request *plain = add(fake, PLATTER_OP_WRITE, 512, 512, 0);

	(void)state;
	fake_dispatch(fake);
	/* The plain write goes first: it waits for nobody. */
	assert_int_equal(fake->count, 3);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 1);
	assert_int_equal(plain->error, 0);
	fake_complete(fake, 0, 0); /* the flush is back, and well */
	assert_int_equal(fake_ended, 1);
	fake_complete(fake, 0, -EIO); /* the kernel told the write that something was lost */
	assert_int_equal(fake_ended, 3);
	assert_int_equal(flush->error, -EIO);
	assert_int_equal(fua->error, -EIO);
	request_put(flush);
	request_put(fua);
	request_put(plain);
	fake_free(fake);
}

static void test_a_failed_sync_sticks(void **state)
{
	struct fake *fake = new_with("none");
	struct request *members[4];

	(void)state;
	members[0] = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	fake_complete(fake, 0, -ENOSPC);
	assert_int_equal(members[0]->error, -EIO);
	fake->at_once = true;
	members[1] = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	members[2] = add(fake, PLATTER_OP_ZEROES, 0, 512, PLATTER_REQ_FUA);
	members[3] = add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 4);
	assert_int_equal(members[1]->error, -EIO);
	assert_int_equal(members[2]->error, -EIO);
	assert_int_equal(members[3]->error, 0);
	assert_int_equal(fake->total, 2); /* neither of the two was tried */
	for (unsigned i = 0; i < 4; i++)
		request_put(members[i]);
	fake_free(fake);
}

static void test_a_fua_write_without_space_is_no_failure_of_the_disk(void **state)
{
	struct fake *fake = new_with("none");
	struct request *fua = add(fake, PLATTER_OP_WRITE, 0, 512, PLATTER_REQ_FUA);

	(void)state;
	fake_dispatch(fake);
	fake_complete(fake, 0, -ENOSPC);
	assert_int_equal(fua->error, -ENOSPC);
	assert_int_equal(disk_failure(fake->disk), 0);
	request_put(fua);
	fake_free(fake);
}

static void test_a_split_fua_request_is_one_member(void **state)
{
	struct fake *fake = new_with("none");
	struct request *fua, *flush;

	(void)state;
	fake->disk->geometry.max_zeroes = 4096;
	fua = add(fake, PLATTER_OP_ZEROES, 0, 8192, PLATTER_REQ_FUA);
	flush = add(fake, PLATTER_OP_FLUSH, 0, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->count, 2);
	fake_complete(fake, 1, 0); /* the flush */
	fake_complete(fake, 0, 0); /* the first part */
	assert_int_equal(fake_ended, 0);
	fake_dispatch(fake);
	assert_int_equal(fake->submitted[0]->flags, PLATTER_REQ_FUA | PLATTER_REQ_ONCE);
	fake_complete(fake, 0, 0);
	assert_int_equal(fake_ended, 2);
	request_put(fua);
	request_put(flush);
	fake_free(fake);
}

/* However long the others of its group take. */
static void test_dropped_fua_is_not_kept_by_its_group(void **state)
{
	struct fake *fake = new_with("none");
	struct request *mine, *other, *behind;

	(void)state;
	fake->disk->limits.limits.queue_depth = 1;
	atomic_fetch_add(&fake->disk->limits.generation, 1);
	other = add(fake, PLATTER_OP_WRITE, 0, 512, PLATTER_REQ_FUA);
	mine = add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	behind = add(fake, PLATTER_OP_WRITE, 512, 512, 0);
	other->owner = behind->owner = NULL;
	fake_dispatch(fake);
	assert_int_equal(fake->count, 1);
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 1);
	assert_int_equal(mine->error, -ECANCELED);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	fake_complete(fake, 0, 0); /* a write or the sync */
	fake_dispatch(fake);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 3);
	assert_int_equal(other->error, 0);
	assert_int_equal(behind->error, 0);
	request_put(mine);
	request_put(other);
	request_put(behind);
	fake_free(fake);
}

/* The disk may be nobody's any more by then. */
static void test_a_group_that_is_dropped_whole_syncs_nothing(void **state)
{
	struct fake *fake = new_with("none");
	struct request *first, *dropped[2];

	(void)state;
	fake->disk->limits.limits.queue_depth = 1;
	atomic_fetch_add(&fake->disk->limits.generation, 1);
	first = add(fake, PLATTER_OP_WRITE, 0, 512, 0);
	fake_dispatch(fake);
	dropped[0] = add(fake, PLATTER_OP_WRITE, 512, 512, PLATTER_REQ_FUA);
	dropped[1] = add(fake, PLATTER_OP_WRITE, 1024, 512, PLATTER_REQ_FUA);
	fake_dispatch(fake);
	queue_drop(queue_of(fake), fake);
	assert_int_equal(fake_ended, 2);
	fake_complete(fake, 0, 0);
	fake_dispatch(fake);
	assert_int_equal(fake_ended, 3);
	assert_int_equal(fake->count, 0);
	assert_false(block_has_work(&fake->block));
	request_put(first);
	request_put(dropped[0]);
	request_put(dropped[1]);
	fake_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flushes_of_one_batch_share_a_sync),
		cmocka_unit_test(test_a_flush_never_joins_a_running_sync),
		cmocka_unit_test(test_overlapping_syncs_are_answered_together_and_fail_together),
		cmocka_unit_test(test_a_failed_sync_sticks),
		cmocka_unit_test(test_a_fua_write_without_space_is_no_failure_of_the_disk),
		cmocka_unit_test(test_a_split_fua_request_is_one_member),
		cmocka_unit_test(test_dropped_fua_is_not_kept_by_its_group),
		cmocka_unit_test(test_a_group_that_is_dropped_whole_syncs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
