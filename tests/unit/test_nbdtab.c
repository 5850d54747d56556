/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of /etc/nbdtab: what nbd-client means by them, in our settings. */
#include "client/platter/nbdtab.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static struct nbdtab entry;

static void parse(const char *line)
{
	struct problem problem;

	nbdtab_free(&entry);
	if (nbdtab_parse(&entry, line, &problem) != 1)
		fail_msg("%s: %s", line, problem.text);
}

static int teardown(void **state)
{
	(void)state;
	nbdtab_free(&entry);
	return 0;
}

static void is(const char *key, const char *expected)
{
	char *value = settings_get(&entry.settings, key);

	if (!expected)
		assert_null(value);
	else if (!value)
		fail_msg("%s has no value", key);
	else
		assert_string_equal(value, expected);
	free(value);
}

static void refused(const char *line, const char *says)
{
	struct problem problem;

	nbdtab_free(&entry);
	if (nbdtab_parse(&entry, line, &problem) != -1)
		fail_msg("%s was taken", line);
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, says);
}

static void test_three_columns(void **state)
{
	(void)state;
	parse("nbd3 server data");
	is("device", "nbd3");
	is("uri", "nbd://server/data");
	is("name", "data");
	is("timeout", "30");
	is("dead-timeout", "300");
	assert_false(entry.manual);
	assert_string_equal(entry.notice, "");
}

static void test_blanks_and_comments(void **state)
{
	struct problem problem;

	(void)state;
	parse("\tnbd0\t \tserver  data\t# timeout=x y z");
	is("uri", "nbd://server/data");
	parse("nbd0 server data port=1 \r");
	is("uri", "nbd://server:1/data");
	nbdtab_free(&entry);
	assert_int_equal(nbdtab_parse(&entry, "", &problem), 0);
	assert_int_equal(nbdtab_parse(&entry, " \t ", &problem), 0);
	assert_int_equal(nbdtab_parse(&entry, "# nbd0 server data", &problem), 0);
}

static void test_names(void **state)
{
	(void)state;
	parse("vm1 server data");
	is("name", "vm1");
	is("device", NULL);
	parse("nbd0 server data _name=vm2");
	is("name", "vm2");
	is("device", "nbd0");
	refused("vm1 server data _name=vm2", "_name=vm2: the first column has a name, vm1, already");
	refused("v/m server data", "v/m: a name has up to");
	refused("nbd0 server data _name=nbd1", "nbd1: a name has up to");
}

static void test_servers(void **state)
{
	(void)state;
	parse("nbd0 fe80::1 a/b");
	is("uri", "nbd://[fe80::1]/a/b");
	parse("nbd0 server d%ta? port=10810");
	is("uri", "nbd://server:10810/d%25ta%3F");
	parse("nbd0 /run/nbd.sock data unix");
	is("uri", "nbd+unix:///data?socket=/run/nbd.sock");
	parse("nbd0 ignored ignored _uri=nbds://other/x?tls-verify-peer=false");
	is("uri", "nbds://other/x?tls-verify-peer=false");
	refused("nbd0 s d _uri=http://a", "not one of nbd://");
}

static void test_settings(void **state)
{
	(void)state;
	parse("nbd0 s d timeout=7,dead-timeout=8,conns=3,,readonly");
	is("timeout", "7");
	is("dead-timeout", "8");
	is("connections", "3");
	is("read-only", "yes");
	parse("nbd0 s d connections=2,_read_only,_timeout=9,noauto");
	is("connections", "2");
	is("read-only", "yes");
	is("timeout", "9");
	assert_true(entry.manual);
	parse("nbd0 s d _noauto");
	assert_true(entry.manual);
}

static void test_swap_waits_for_ever(void **state)
{
	(void)state;
	parse("nbd0 s d swap,persist,systemd-mark");
	is("dead-timeout", "infinity");
	assert_string_equal(entry.notice, "");
	parse("nbd0 s d dead-timeout=5,swap");
	is("dead-timeout", "5");
	parse("nbd0 s d swap,_dead_timeout=6");
	is("dead-timeout", "6");
}

static void test_what_does_nothing_is_told(void **state)
{
	(void)state;
	parse("nbd0 s d bs=4096,persist,timout=5,_netdev");
	assert_string_equal(entry.notice, "bs=4096: ignored: blocks are the server's smallest; timout=5: not an option that is known; "
					  "_netdev: not one of ours");
	/* However much it is. */
	parse("nbd0 s d aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,"
	      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,c,d,e,f,g");
	assert_true(strlen(entry.notice) < sizeof(entry.notice));
}

static void test_tls(void **state)
{
	(void)state;
	parse("nbd0 s d cacertfile=/tls/ca-cert.pem,certfile=/tls/client-cert.pem,keyfile=/tls/client-key.pem,tlshostname=h");
	is("uri", "nbds://s/d");
	is("tls-certificates", "/tls");
	is("tls-hostname", "h");
	parse("nbd0 s d cacertfile=/ca-cert.pem");
	is("tls-certificates", "/");
	parse("nbd0 s d tls,_tls_certificates=/c,_tls_trust_any");
	is("tls-certificates", "/c");
	is("tls-trust-any", "yes");
	parse("nbd0 /run/s d unix,enable-tls,_tls_psk=/keys");
	is("uri", "nbds+unix:///d?socket=/run/s");
	refused("nbd0 s d cacertfile=/tls/ca.pem", "cacertfile=/tls/ca.pem: the files have to be ca-cert.pem, client-cert.pem and client-key.pem");
	refused("nbd0 s d cacertfile=/tls/ca-cert.pem,keyfile=/tl/client-key.pem", "keyfile=/tl/client-key.pem: the files have to be");
	refused("nbd0 s d keyfile=client-key.pem", "_tls_certificates=DIR");
	refused("nbd0 s d _tls_certificates=/c", "without TLS");
}

static void test_what_is_wrong(void **state)
{
	(void)state;
	refused("nbd0", "nbd0: device, host and export are needed");
	refused("nbd0 server", "device, host and export are needed");
	refused("nbd0 s d timeout=1, conns=2", "conns=2: a fifth column");
	refused("nbd0 s d timeout=1 conns=2 x y z", "conns=2: a fifth column");
	refused("nbd0 s d timeout=soon", "timeout=soon: not a number of seconds");
	refused("nbd0 s d timeout", "timeout: a value is missing");
	refused("nbd0 s d conns=17", "connections=17: not a number from 1 to 16");
	refused("nbd0 s d port=", "port=: a value is missing");
	refused("nbd0 s d tls=yes", "tls=yes: it has no value");
	refused("nbd0 s d sdp", "sdp: there is no");
	refused("nbd0 s d _read_only=maybe", "read-only=maybe: neither yes nor no");
}

/* No line makes it read what isn't there, or keep what it should free. */
static void test_any_line(void **state)
{
	static const char *const lines[] = {
		"nbd0 server data port=1,timeout=7,dead-timeout=8,conns=3,_name=x,_uri=nbd://h/x,noauto # c",
		"vm1 /run/s d unix,cacertfile=/t/ca-cert.pem,keyfile=/t/client-key.pem,tlshostname=h,swap,bs=1,_x=y",
	};
	uint64_t random = 1;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char line[200];
		struct problem problem;
		struct nbdtab any;
		size_t length;

		strcpy(line, lines[round % COUNT(lines)]);
		length = strlen(line);
		for (unsigned i = 0; i < 1 + round % 4; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			line[(random >> 33) % length] = " ,=#_/\t%ax0"[(random >> 20) % 11];
		}
		if (nbdtab_parse(&any, line, &problem) == 1)
			nbdtab_free(&any);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_three_columns, teardown),
		cmocka_unit_test_teardown(test_blanks_and_comments, teardown),
		cmocka_unit_test_teardown(test_names, teardown),
		cmocka_unit_test_teardown(test_servers, teardown),
		cmocka_unit_test_teardown(test_settings, teardown),
		cmocka_unit_test_teardown(test_swap_waits_for_ever, teardown),
		cmocka_unit_test_teardown(test_what_does_nothing_is_told, teardown),
		cmocka_unit_test_teardown(test_tls, teardown),
		cmocka_unit_test_teardown(test_what_is_wrong, teardown),
		cmocka_unit_test(test_any_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
