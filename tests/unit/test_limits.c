/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be set of a queue. */
#include <errno.h>
#include <string.h>

#include "tests/unit/queue_fixture.h"

static void assert_refused(struct fake *fake, const char *name, const char *value, int expected, const char *reason)
{
	struct platter_error error = { "" };

	assert_int_equal(limits_set(&fake->disk->limits, name, value, &error), expected);
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
	fake->disk->limits.geometry.queue_depth = 32; /* the driver's own bound */
	assert_refused(fake, "queue_depth", "33", -EINVAL, "1 to 32");
	set(fake, "queue_depth", "32");
	set(fake, "scheduler", "deadline");
	assert_string_equal(limits_name(0), "scheduler");
	limits_show(&fake->disk->limits, 0, text, sizeof(text));
	assert_string_equal(text, "none merge [deadline]");
	end(fake);
}

static void assert_default(struct fake *fake, uint32_t capabilities, const char *expected)
{
	fake->disk->geometry.capabilities = capabilities;
	fake->disk->geometry.queue_depth = 8;
	limits_opened(&fake->disk->limits, &fake->disk->geometry);
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
	/* A driver of less depth, for a while. */
	fake->disk->geometry.queue_depth = 2;
	limits_opened(&fake->disk->limits, &fake->disk->geometry);
	assert_int_equal(fake->disk->limits.limits.async_depth, 2);
	assert_default(fake, 0, "merge");
	assert_int_equal(fake->disk->limits.limits.async_depth, 8);
	end(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_can_be_set),
		cmocka_unit_test(test_defaults_follow_the_driver_until_somebody_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
