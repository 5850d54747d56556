/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command line leaves open. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/options.h"
#include "tests/unit/unit.h"

/* A machine of that many cores, of which every SHARE-th may be used. */
static size_t machine_cores, machine_share;

/* As the kernel's: refuses what has no room for every core of the machine. */
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	assert_int_equal(pid, 0);
	if (8 * size < machine_cores) {
		errno = EINVAL;
		return -1;
	}
	CPU_ZERO_S(size, set);
	for (size_t core = 0; core < machine_cores; core += machine_share)
		CPU_SET_S(core, size, set);
	return 0;
}

static unsigned threads_on(size_t cores, size_t share)
{
	char *arguments[] = { (char[]){ "platterd" }, NULL };
	struct options options;
	int status;

	machine_cores = cores;
	machine_share = share;
	assert_int_equal(options_parse(&options, 1, arguments, &status), 0);
	free(options.listen);
	return options.threads;
}

static void test_there_is_a_reactor_for_each_usable_core(void **state)
{
	(void)state;
	assert_int_equal(threads_on(1, 1), 1);
	assert_int_equal(threads_on(64, 4), 16);
	assert_int_equal(threads_on(1024, 1), 1024);
}

static void test_machines_beyond_the_c_librarys_set(void **state)
{
	(void)state;
	assert_int_equal(threads_on(1025, 5), 205);
	assert_int_equal(threads_on(8192, 64), 128);
	/* No more than may be asked for. */
	assert_int_equal(threads_on(8192, 1), 1024);
}

/* The command line OPTION, or an empty one; RESULT is what options_parse() says to it. */
static struct options with(const char *option, int result)
{
	char text[32];
	char *arguments[] = { (char[]){ "platterd" }, text, NULL };
	struct options options;
	int status;

	machine_cores = machine_share = 1;
	optind = 0; /* the C library's: from the beginning */
	snprintf(text, sizeof(text), "%s", option);
	assert_int_equal(options_parse(&options, option[0] ? 2 : 1, arguments, &status), result);
	free(options.listen);
	return options;
}

static void test_what_is_polled_for(void **state)
{
	(void)state;
	assert_int_equal(with("", 0).polling, ENGINE_POLL_TRANSFERS);
	assert_int_equal(with("", 0).poll_ns, 200000);
	assert_int_equal(with("--poll-us=io", 0).polling, ENGINE_POLL_TRANSFERS);
	assert_int_equal(with("--poll-us=auto", 0).polling, ENGINE_POLL_ALL_ADAPTED);
	assert_int_equal(with("--poll-us=auto", 0).poll_ns, 50000);
	assert_int_equal(with("--poll-us=7", 0).polling, ENGINE_POLL_ALL);
	assert_int_equal(with("--poll-us=7", 0).poll_ns, 7000);
	assert_int_equal(with("--poll-us=0", 0).poll_ns, 0);
}

static void test_kernel_tls(void **state)
{
	(void)state;
	assert_int_equal(with("", 0).ktls, OPTIONS_KTLS_AUTO);
	assert_int_equal(with("--ktls=auto", 0).ktls, OPTIONS_KTLS_AUTO);
	assert_int_equal(with("--ktls=on", 0).ktls, OPTIONS_KTLS_ON);
	assert_int_equal(with("--ktls=off", 0).ktls, OPTIONS_KTLS_OFF);
	with("--ktls=maybe", -EINVAL);
	with("--ktls=", -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_is_a_reactor_for_each_usable_core),
		cmocka_unit_test(test_machines_beyond_the_c_librarys_set),
		cmocka_unit_test(test_what_is_polled_for),
		cmocka_unit_test(test_kernel_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
