/* SPDX-License-Identifier: BSD-2-Clause */
/* What of `mount -t nbd -o ...` platter gets, and what the mount of its device. */
#include "client/platter/mount_options.h"

#include "tests/unit/unit.h"

static struct mount_options options;
static struct problem problem;

static int teardown(void **state)
{
	(void)state;
	mount_options_free(&options);
	return 0;
}

static void parse(const char *text)
{
	mount_options_free(&options);
	if (mount_options_parse(&options, text, &problem) < 0)
		fail_msg("%s: %s", text, problem.text);
}

/* All words, with a blank between them. */
static void words_are(const char *expected)
{
	char text[1000] = "";

	for (unsigned i = 0; i < options.count; i++) {
		strcat(text, i ? " " : "");
		strcat(text, options.words[i]);
	}
	assert_string_equal(text, expected);
}

static void refused(const char *text, const char *says)
{
	mount_options_free(&options);
	assert_int_equal(mount_options_parse(&options, text, &problem), -1);
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, says);
}

static void test_none(void **state)
{
	(void)state;
	parse("");
	words_are("");
	assert_null(options.type);
	assert_string_equal(options.rest, "");
}

static void test_whose_is_whose(void **state)
{
	(void)state;
	parse("rw,name=vm1,noatime,tls-certificates=/c,data=ordered,timeout=5,fstype=ext4,tls-trust-any,_netdev");
	words_are("--name=vm1 --tls-certificates=/c --timeout=5 --tls-trust-any");
	assert_string_equal(options.type, "ext4");
	assert_string_equal(options.rest, "rw,noatime,data=ordered,_netdev");
}

static void test_the_prefix(void **state)
{
	(void)state;
	parse("nbd-device=nbd3,device=/dev/sda,nbd-dead-timeout=infinity,nbd-read-only");
	words_are("--device=nbd3 --dead-timeout=infinity --read-only");
	assert_string_equal(options.rest, "device=/dev/sda");
	refused("nbd-fast", "nbd-fast: not an option of platter attach");
	refused("nbd-uri=nbd://h/x", "nbd-uri=nbd://h/x: not an option");
}

static void test_read_only_is_both(void **state)
{
	(void)state;
	parse("ro");
	words_are("--read-only");
	assert_string_equal(options.rest, "ro");
	parse("rom,errors=remount-ro");
	words_are("");
	assert_string_equal(options.rest, "rom,errors=remount-ro");
}

static void test_commas_and_quotes(void **state)
{
	(void)state;
	parse(",,a,,context=\"x,name=y\",name=z,");
	words_are("--name=z");
	assert_string_equal(options.rest, "a,context=\"x,name=y\"");
	parse("fstype=xfs,fstype=ext4,a=\"b,c");
	assert_string_equal(options.type, "ext4");
	assert_string_equal(options.rest, "a=\"b,c");
}

static void test_values(void **state)
{
	char many[1000] = "name=a";

	(void)state;
	refused("name", "name: a value is missing");
	refused("read-only=no", "read-only=no: read-only has no value");
	for (unsigned i = 0; i < MOUNT_OPTIONS_MOST; i++)
		strcat(many, ",timeout=5");
	refused(many, "timeout=5: more than 32 options");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_none, teardown),
		cmocka_unit_test_teardown(test_whose_is_whose, teardown),
		cmocka_unit_test_teardown(test_the_prefix, teardown),
		cmocka_unit_test_teardown(test_read_only_is_both, teardown),
		cmocka_unit_test_teardown(test_commas_and_quotes, teardown),
		cmocka_unit_test_teardown(test_values, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
