/* SPDX-License-Identifier: BSD-2-Clause */
/* What `platter attach` can be told: every key, what it takes and what it gives back. */
#include "client/platter/settings.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static struct settings settings;
static struct problem problem;

static void set(const char *key, const char *value)
{
	if (settings_set(&settings, key, value, &problem) < 0)
		fail_msg("%s=%s: %s", key, value ? value : "", problem.text);
}

static void assert_get(const char *key, const char *expected)
{
	char *value = settings_get(&settings, key);

	if (!expected)
		assert_null(value);
	else if (!value)
		fail_msg("%s has no value", key);
	else
		assert_string_equal(value, expected);
	free(value);
}

static void assert_refused(const char *key, const char *value, const char *says)
{
	if (settings_set(&settings, key, value, &problem) == 0)
		fail_msg("%s=%s was taken", key, value ? value : "");
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, says);
}

static int setup(void **state)
{
	(void)state;
	settings_init(&settings);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	settings_free(&settings);
	return 0;
}

/* --- Keys and values */

/* One that is legal, is not the default, and comes back as it was written. */
static const struct { const char *key, *value; } samples[] = {
	{ "uri", "nbds://u@h/x" },
	{ "name", "vm1" },
	{ "device", "nbd7" },
	{ "read-only", "yes" },
	{ "connections", "16" },
	{ "timeout", "5" },
	{ "dead-timeout", "infinity" },
	{ "tls-certificates", "/etc/pki/nbd" },
	{ "tls-psk", "/etc/keys \"and\" more" },
	{ "tls-hostname", "other.example" },
	{ "tls-trust-any", "yes" },
};

static void test_every_key_goes_round(void **state)
{
	struct settings copy;

	(void)state;
	settings_init(&copy);
	for (size_t i = 0; i < COUNT(samples); i++) {
		char *value;

		assert_string_equal(settings_keys[i], samples[i].key);
		set(samples[i].key, samples[i].value);
		assert_get(samples[i].key, samples[i].value);
		value = settings_get(&settings, samples[i].key);
		assert_int_equal(settings_set(&copy, samples[i].key, value, &problem), 0);
		free(value);
	}
	assert_null(settings_keys[COUNT(samples)]);
	assert_int_equal(settings_complete(&settings, &problem), 0);
	assert_int_equal(settings_complete(&copy, &problem), 0);
	assert_int_equal(copy.device, 7);
	assert_true(copy.read_only);
	assert_int_equal(copy.connections, 16);
	assert_int_equal(copy.timeout, 5);
	assert_true(copy.dead_timeout == SETTINGS_FOR_EVER);
	assert_string_equal(copy.uri.certificates, "/etc/pki/nbd");
	assert_string_equal(copy.uri.psk, "/etc/keys \"and\" more");
	assert_string_equal(copy.uri.hostname, "other.example");
	assert_true(copy.uri.trusts_any);
	settings_free(&copy);
}

static void test_the_defaults(void **state)
{
	(void)state;
	assert_get("timeout", "30");
	assert_get("dead-timeout", "300");
	for (size_t i = 0; settings_keys[i]; i++)
		if (!strstr(settings_keys[i], "timeout"))
			assert_get(settings_keys[i], NULL);
	assert_get("color", NULL);
}

static void test_the_last_one_counts(void **state)
{
	(void)state;
	set("name", "one");
	set("name", "two");
	assert_get("name", "two");
	set("read-only", NULL);
	assert_get("read-only", "yes");
	set("read-only", "no");
	assert_get("read-only", NULL);
}

static void test_flags(void **state)
{
	static const struct { const char *value; bool means; } cases[] = { { NULL, true }, { "yes", true }, { "true", true }, { "on", true },
									    { "no", false }, { "false", false }, { "off", false } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		settings.read_only = !cases[i].means;
		set("read-only", cases[i].value);
		assert_int_equal(settings.read_only, cases[i].means);
	}
	settings.read_only = false;
	assert_refused("read-only", "maybe", "read-only=maybe: neither yes nor no");
	assert_refused("read-only", "", "read-only=: neither yes nor no");
	/* What was refused changes nothing. */
	assert_false(settings.read_only);
	assert_true(settings_is_flag("read-only") && settings_is_flag("tls-trust-any"));
	assert_false(settings_is_flag("uri") || settings_is_flag("timeout") || settings_is_flag("color"));
}

static void test_values_that_are_refused(void **state)
{
	(void)state;
	assert_refused("color", "red", "color: no such key");
	for (size_t i = 0; settings_keys[i]; i++) {
		if (settings_is_flag(settings_keys[i]))
			continue;
		assert_refused(settings_keys[i], NULL, "a value is missing");
		assert_refused(settings_keys[i], "", "a value is missing");
	}
	assert_refused("connections", "0", "connections=0: not a number from 1 to 16");
	assert_refused("connections", "17", "from 1 to 16");
	assert_refused("connections", "2x", "from 1 to 16");
	assert_refused("connections", "-1", "from 1 to 16");
	assert_refused("timeout", " 5", "timeout= 5: not a number of seconds");
	assert_refused("timeout", "5s", "timeout=5s: not a number of seconds");
	assert_refused("timeout", "1e3", "not a number of seconds");
	assert_refused("dead-timeout", "3000000001", "up to 3000000000, nor infinity");
	assert_refused("dead-timeout", "99999999999999999999", "nor infinity");
	assert_refused("dead-timeout", "never", "dead-timeout=never: not a number");
	assert_refused("device", "sda", "device=sda: not a device like nbd0 or /dev/nbd0");
	assert_refused("device", "/dev/nbd", "not a device");
	assert_refused("device", "nbd01", "not a device");
	assert_refused("device", "nbd1p1", "not a device");
	assert_refused("device", "nbd1048576", "not a device");
	/* None of which changed anything. */
	test_the_defaults(state);
}

/*
 * Whether the kernel took a new connection shows only in the socket's timeout, see device_took(): without one it would be
 * taken for granted, and a connection that was dropped counted as alive.
 */
static void test_requests_have_a_time(void **state)
{
	(void)state;
	assert_refused("timeout", "infinity", "timeout=infinity: not a number of seconds from 1");
	assert_refused("timeout", "0", "timeout=0: not a number of seconds from 1");
	set("timeout", "1");
	set("dead-timeout", "0");
	assert_get("dead-timeout", "0");
	set("dead-timeout", "infinity");
	/* What the kernel can't count would show as another time, too. */
	set("timeout", "4000000");
	assert_get("timeout", "4000000");
	assert_refused("timeout", "4000001", "from 1 to 4000000");
}

/* Each would be a line of its own in the files that the settings are kept in. */
static void test_no_control_characters(void **state)
{
	(void)state;
	assert_refused("tls-psk", "a\nb", "tls-psk: a control character can't be in it");
	assert_refused("uri", "nbd://h/x\x7f", "uri: a control character");
	assert_refused("name", "a\tb", "name: a control character");
}

static void test_devices(void **state)
{
	(void)state;
	set("device", "/dev/nbd0");
	assert_int_equal(settings.device, 0);
	assert_get("device", "nbd0");
	set("device", "nbd1048575");
	assert_int_equal(settings.device, 1048575);
}

/* --- Names */

static void test_names(void **state)
{
	static const char *const good[] = { "a", "vm-1.img", "_", "A_b", "0", "nbd", "nbdx", "nbd0p1", "nbd00" };
	static const char *const bad[] = { "", ".", "..", "-x", ".x", "a b", "a/b", "a:b", "\xc3\xa9", "nbd0", "nbd15", "a\"" };
	char longest[SETTINGS_MOST_NAME + 2] = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		if (!settings_is_name(good[i]))
			fail_msg("%s is a name", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (settings_is_name(bad[i]))
			fail_msg("%s is no name", bad[i]);
	memset(longest, 'n', SETTINGS_MOST_NAME);
	assert_true(settings_is_name(longest));
	longest[SETTINGS_MOST_NAME] = 'n';
	assert_false(settings_is_name(longest));
}

static void test_a_name_where_none_is_given(void **state)
{
	static const struct { const char *uri, *name; } cases[] = {
		{ "nbd://h/vm1", "vm1" },
		{ "nbd://h/pool/vm%201", "pool_vm_1" },
		{ "nbd://h/%C3%A9", "__" },
		{ "nbd://h/.hidden", "_hidden" },
		{ "nbd://h/-x", "_x" },
		{ "nbd://server.example/", "server.example" },
		{ "nbd://[::1]/", "__1" },
		{ "nbd+unix:///?socket=/s", "default" },
	};
	char uri[200] = "nbd://h/";

	for (size_t i = 0; i < COUNT(cases); i++) {
		set("uri", cases[i].uri);
		if (settings_complete(&settings, &problem) < 0)
			fail_msg("%s: %s", cases[i].uri, problem.text);
		assert_string_equal(settings.name, cases[i].name);
		teardown(state);
	}
	memset(uri + 8, 'x', 100);
	set("uri", uri);
	assert_int_equal(settings_complete(&settings, &problem), 0);
	assert_int_equal(strlen(settings.name), SETTINGS_MOST_NAME);
}

/* --- All of them together */

static void refuse_all(const char *says)
{
	assert_int_equal(settings_complete(&settings, &problem), -1);
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, says);
	settings_free(&settings);
}

static void test_what_does_not_fit_together(void **state)
{
	static const char *const tls[][2] = { { "tls-certificates", "/x" }, { "tls-psk", "/x" }, { "tls-hostname", "x" }, { "tls-trust-any", NULL } };

	(void)state;
	refuse_all("a URI is missing, for example nbd://");
	set("uri", "http://h/");
	refuse_all("http://: not one of");
	set("uri", "nbd://h/x");
	set("name", "nbd0");
	refuse_all("nbd0: a name has up to 64 letters");
	set("uri", "nbd://h/nbd0");
	refuse_all("nbd0: a device can't have this name; choose another one: --name NAME");
	for (size_t i = 0; i < COUNT(tls); i++) {
		set("uri", "nbd://h/x");
		set(tls[i][0], tls[i][1]);
		refuse_all("nbd://h/x: without TLS; write nbds:// for that");
		set("uri", "nbd+unix:///x?socket=/s");
		set(tls[i][0], tls[i][1]);
		refuse_all("without TLS; write nbds+unix:// for that");
	}
	set("uri", "nbds://h/x?tls-psk-file=/a");
	set("tls-psk", "/b");
	refuse_all("tls-psk: the URI has that, too");
	set("uri", "nbds://h/x?tls-certificates=/a");
	set("tls-certificates", "/b");
	refuse_all("tls-certificates: the URI has that, too");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_key_goes_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_one_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_that_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_have_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_control_characters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_a_name_where_none_is_given, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_does_not_fit_together, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
