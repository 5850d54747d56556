/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules on who may use an export. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/block/access.h"
#include "server/block/error.h"
#include "tests/unit/unit.h"

static struct access *with(const char *rule)
{
	struct platter_error error = { "" };
	struct access *access = NULL;

	if (access_add(&access, rule, &error) < 0)
		fail_msg("%s", error.text);
	return access;
}

/* Whether RULE lets CLIENT in. */
static bool lets(const char *rule, const struct access_client *client)
{
	struct access *access = with(rule);
	bool allows = access_allows(access, client);

	access_put(access);
	return allows;
}

static bool lets_from(const char *rule, const char *address)
{
	struct access_client client = { .remote = true };

	assert_int_equal(inet_pton(AF_INET6, address, &client.address), 1);
	return lets(rule, &client);
}

static void test_without_rules(void **state)
{
	const struct access_client nobody = { .local = false };
	struct access *access = with("cert:somebody");

	(void)state;
	assert_true(access_allows(NULL, &nobody));
	assert_false(access_allows(access, &nobody));
	access_put(access);
	access_put(NULL);
	assert_null(access_get(NULL));
}

static void test_names(void **state)
{
	const struct access_client client = { .names = "CN=vm1,O=Example\0vm1\0vm1.example.net\0" };
	const struct access_client other = { .key = "vm1" };

	(void)state;
	assert_true(lets("cert:vm1", &client));
	assert_true(lets("cert:CN=vm1,O=Example", &client));
	assert_true(lets("cert:vm1.example.net", &client));
	assert_false(lets("cert:vm", &client));
	assert_false(lets("cert:vm11", &client));
	assert_false(lets("cert:example.net", &client));
	assert_false(lets("psk:vm1", &client));
	assert_true(lets("psk:vm1", &other));
	assert_false(lets("psk:vm", &other));
	assert_false(lets("cert:vm1", &other));
}

static void test_users_and_groups(void **state)
{
	struct access_client client = { .local = true, .uid = 1000, .groups = { 100, 27 }, .group_count = 2 };

	(void)state;
	assert_true(lets("uid:1000", &client));
	assert_false(lets("uid:0", &client));
	assert_false(lets("uid:root", &client));
	assert_true(lets("gid:27", &client));
	assert_true(lets("gid:100", &client));
	assert_false(lets("gid:1000", &client));
	client.uid = 0;
	assert_true(lets("uid:root", &client));
	/* By TCP nobody is root. */
	client.local = false;
	assert_false(lets("uid:0", &client));
	assert_false(lets("gid:27", &client));
}

static void test_networks(void **state)
{
	const struct access_client local = { .local = true };

	(void)state;
	assert_true(lets_from("net:192.0.2.7", "::ffff:192.0.2.7"));
	assert_false(lets_from("net:192.0.2.7", "::ffff:192.0.2.6"));
	assert_true(lets_from("net:192.0.2.0/25", "::ffff:192.0.2.127"));
	assert_false(lets_from("net:192.0.2.0/25", "::ffff:192.0.2.128"));
	assert_true(lets_from("net:0.0.0.0/0", "::ffff:10.0.0.1"));
	assert_false(lets_from("net:0.0.0.0/0", "2001:db8::1"));
	assert_true(lets_from("net:::/0", "2001:db8::1"));
	assert_true(lets_from("net:2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(lets_from("net:2001:db8::/33", "2001:db8:8000::1"));
	assert_true(lets_from("net:::1", "::1"));
	assert_false(lets("net:::/0", &local));
}

static void test_what_is_no_rule(void **state)
{
	static const char *const bad[] = { "", "root", "cert:", "psk:", "uid:", "uid:nobody-of-this-name", "uid:-1", "uid:4294967295", "gid:",
					   "gid:1x", "net:", "net:192.0.2.1/24", "net:192.0.2.0/33", "net:192.0.2.0/", "net:2001:db8::/129",
					   "net:host.example", "net:1.2.3", "all", "@/nowhere/at/all", "@" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct platter_error error = { "" };
		struct access *access = NULL;

		if (access_add(&access, bad[i], &error) >= 0 || !error.text[0])
			fail_msg("\"%s\" is taken", bad[i]);
		access_put(access);
	}
}

static void test_files(void **state)
{
	const struct access_client client = { .key = "b" }, other = { .key = "c" };
	char path[] = "/tmp/platter-access-XXXXXX", rule[64];
	struct platter_error error = { "" };
	struct access *access = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	snprintf(rule, sizeof(rule), "@%s", path);
	/* An empty list allows nobody. */
	assert_false(lets(rule, &client));
	assert_int_equal(write(fd, "# those\npsk:a \n\npsk:b", 21), 21);
	assert_true(lets(rule, &client));
	assert_false(lets(rule, &other));
	assert_int_equal(write(fd, "\nnonsense\n", 10), 10);
	assert_int_equal(access_add(&access, rule, &error), -EINVAL);
	access_put(access);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_rules),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_users_and_groups),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_what_is_no_rule),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
