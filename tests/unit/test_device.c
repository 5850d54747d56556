/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <platter/driver.h>

#include "server/block/device.h"
#include "server/block/registry.h"
#include "tests/unit/unit.h"

static int end(void **state)
{
	(void)state;
	device_unregister_all();
	return 0;
}

static void test_dynamic_majors_go_from_the_top_down(void **state)
{
	char name[16];

	(void)state;
	assert_int_equal(platter_register_blkdev(253, "fixed"), 0);
	assert_int_equal(platter_register_blkdev(0, "first"), DEVICE_DYNAMIC);
	assert_int_equal(platter_register_blkdev(0, "second"), 252);
	platter_unregister_blkdev(DEVICE_DYNAMIC, "first");
	assert_int_equal(platter_register_blkdev(0, "third"), DEVICE_DYNAMIC);
	for (int major = 251; major > 0; major--) {
		snprintf(name, sizeof(name), "d%d", major);
		assert_int_equal(platter_register_blkdev(0, name), major);
	}
	/* None is left; those above the dynamic ones are only given by number. */
	assert_int_equal(platter_register_blkdev(0, "one more"), -EBUSY);
	assert_int_equal(platter_register_blkdev(511, "one more"), 0);
}

static void test_what_is_taken_or_impossible_is_refused(void **state)
{
	(void)state;
	assert_int_equal(platter_register_blkdev(8, "sd"), 0);
	assert_int_equal(platter_register_blkdev(8, "other"), -EBUSY);
	assert_int_equal(platter_register_blkdev(9, "sd"), -EBUSY);
	assert_int_equal(platter_register_blkdev(0, "sd"), -EBUSY);
	assert_int_equal(platter_register_blkdev(DEVICE_MAJORS, "far"), -EINVAL);
	assert_int_equal(platter_register_blkdev(9, ""), -EINVAL);
	assert_int_equal(platter_register_blkdev(9, NULL), -EINVAL);
}

static void test_only_who_has_a_major_gives_it_back(void **state)
{
	(void)state;
	assert_int_equal(platter_register_blkdev(8, "sd"), 0);
	platter_unregister_blkdev(8, "other");
	platter_unregister_blkdev(9, "sd");
	platter_unregister_blkdev(DEVICE_MAJORS, "sd");
	registry_lock();
	assert_string_equal(device_name(8), "sd");
	assert_int_equal(device_major("sd"), 8);
	registry_unlock();
	platter_unregister_blkdev(8, "sd");
	registry_lock();
	assert_null(device_name(8));
	assert_int_equal(device_major("sd"), 0);
	registry_unlock();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_dynamic_majors_go_from_the_top_down, end),
		cmocka_unit_test_teardown(test_what_is_taken_or_impossible_is_refused, end),
		cmocka_unit_test_teardown(test_only_who_has_a_major_gives_it_back, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
