/* SPDX-License-Identifier: BSD-2-Clause */
/* URIs of exports: every spelling, its canonical form, and what is refused. */
#include "client/platter/uri.h"

#include <stdbool.h>
#include <stdlib.h>

#include "client/platter/problem.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

static struct uri uri;
static struct problem problem;

static void parse(const char *text)
{
	if (uri_parse(&uri, text, &problem) < 0)
		fail_msg("%s: %s", text, problem.text);
}

static void assert_text(const char *text, const char *expected)
{
	if (expected)
		assert_string_equal(text, expected);
	else
		assert_null(text);
}

static void test_places_and_names(void **state)
{
	static const struct {
		const char *text, *host, *port, *socket, *export, *canonical;
		bool tls;
	} cases[] = {
		{ "nbd://h", "h", "10809", NULL, "", "nbd://h/", false },
		{ "nbd://h/", "h", "10809", NULL, "", "nbd://h/", false },
		{ "nbd://h/x", "h", "10809", NULL, "x", "nbd://h/x", false },
		{ "nbd://h:10809/x", "h", "10809", NULL, "x", "nbd://h/x", false },
		{ "nbd://h:/x", "h", "10809", NULL, "x", "nbd://h/x", false },
		{ "nbd://h:1/x", "h", "1", NULL, "x", "nbd://h:1/x", false },
		{ "nbds://h:1/x", "h", "1", NULL, "x", "nbds://h:1/x", true },
		{ "nbd:///x", "localhost", "10809", NULL, "x", "nbd://localhost/x", false },
		{ "nbd://", "localhost", "10809", NULL, "", "nbd://localhost/", false },
		{ "nbd://127.0.0.1/x", "127.0.0.1", "10809", NULL, "x", "nbd://127.0.0.1/x", false },
		{ "nbd://[::1]/x", "::1", "10809", NULL, "x", "nbd://[::1]/x", false },
		{ "nbd://[fd00::2]:77/x", "fd00::2", "77", NULL, "x", "nbd://[fd00::2]:77/x", false },
		/* Only the first slash isn't the name's. */
		{ "nbd://h//x", "h", "10809", NULL, "/x", "nbd://h//x", false },
		{ "nbd://h/a/b/", "h", "10809", NULL, "a/b/", "nbd://h/a/b/", false },
		{ "nbd://h/a/../b", "h", "10809", NULL, "a/../b", "nbd://h/a/../b", false },
		{ "nbd://h/a%2fb", "h", "10809", NULL, "a/b", "nbd://h/a/b", false },
		{ "nbd://h/%78", "h", "10809", NULL, "x", "nbd://h/x", false },
		{ "nbd://h/%20%C3%A9%23%3f%25", "h", "10809", NULL, " \xc3\xa9#?%", "nbd://h/%20%C3%A9%23%3F%25", false },
		{ "nbd://h/a+b;c=d@e:f", "h", "10809", NULL, "a+b;c=d@e:f", "nbd://h/a%2Bb%3Bc%3Dd%40e%3Af", false },
		{ "nbd+unix:///?socket=/s", NULL, NULL, "/s", "", "nbd+unix:///?socket=/s", false },
		{ "nbd+unix://?socket=/s", NULL, NULL, "/s", "", "nbd+unix:///?socket=/s", false },
		{ "nbd+unix:///x?socket=/a/b", NULL, NULL, "/a/b", "x", "nbd+unix:///x?socket=/a/b", false },
		{ "nbds+unix:///x?socket=s", NULL, NULL, "s", "x", "nbds+unix:///x?socket=s", true },
		{ "nbd+unix:////x?socket=s", NULL, NULL, "s", "/x", "nbd+unix:////x?socket=s", false },
		{ "nbd+unix:///x?socket=%2fa%20b%26", NULL, NULL, "/a b&", "x", "nbd+unix:///x?socket=/a%20b%26", false },
		/* As libnbd has it: a + is a +. */
		{ "nbd+unix:///x?socket=/a+b", NULL, NULL, "/a+b", "x", "nbd+unix:///x?socket=/a%2Bb", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *canonical;

		parse(cases[i].text);
		assert_text(uri.host, cases[i].host);
		assert_text(uri.port, cases[i].port);
		assert_text(uri.socket, cases[i].socket);
		assert_text(uri.export, cases[i].export);
		assert_int_equal(uri.tls, cases[i].tls);
		assert_null(uri.user);
		canonical = uri_canonical(&uri);
		assert_string_equal(canonical, cases[i].canonical);
		uri_free(&uri);
		/* Which is a URI, of the same. */
		parse(canonical);
		assert_text(uri.host, cases[i].host);
		assert_text(uri.port, cases[i].port);
		assert_text(uri.socket, cases[i].socket);
		assert_text(uri.export, cases[i].export);
		uri_free(&uri);
		free(canonical);
	}
}

static void test_tls(void **state)
{
	char *canonical;

	(void)state;
	parse("nbds://alice@h/x?tls-certificates=/etc/pki&tls-hostname=other&tls-verify-peer=false&tls-psk-file=/k%20s");
	assert_true(uri.tls);
	assert_string_equal(uri.user, "alice");
	assert_string_equal(uri.certificates, "/etc/pki");
	assert_string_equal(uri.hostname, "other");
	assert_string_equal(uri.psk, "/k s");
	assert_true(uri.trusts_any);
	/* As whom, and with what, isn't what. */
	canonical = uri_canonical(&uri);
	assert_string_equal(canonical, "nbds://h/x");
	free(canonical);
	uri_free(&uri);

	parse("nbds+unix://%61lice@/x?socket=/s&tls-verify-peer=true");
	assert_string_equal(uri.user, "alice");
	assert_false(uri.trusts_any);
	uri_free(&uri);
}

static void test_what_is_refused_and_why(void **state)
{
	static const struct { const char *text, *says; } cases[] = {
		{ "", "a scheme is missing" },
		{ "server/export", "a scheme is missing" },
		{ "//h/x", "a scheme is missing" },
		{ "http://h/x", "http://: not one of nbd://" },
		{ "NBD://h/x", "NBD://: not one of nbd://" },
		{ "nbd+vsock://2/x", "nbd+vsock://: not one of" },
		/* QEMU's old way to write it names a host, which would be taken for an export. */
		{ "nbd:h:10809", "it begins with nbd://" },
		{ "nbd:", "it begins with nbd://" },
		{ "nbd:/x", "it begins with nbd://" },
		{ "nbd+unix:/x?socket=/s", "it begins with nbd+unix://" },
		{ "nbd://h/a b", "not a URI, from \" b\" on" },
		{ "nbd://h/%zz", "not a URI, from \"zz\" on" },
		{ "nbd://[::1/x", "not a URI" },
		{ "nbd://h:port/x", "not a URI" },
		{ "nbd://h/a%00b", "a zero byte" },
		{ "nbd://h/x#part", "a # means nothing here; in a name it is %23" },
		{ "nbd://h/x?socket=/s", "socket=/s: only nbd+unix:// and nbds+unix:// have one" },
		{ "nbd+unix:///x", "?socket=PATH is missing" },
		{ "nbd+unix:///x?socket=", "socket=: a value is missing" },
		{ "nbd+unix:///x?socket", "socket=: a value is missing" },
		{ "nbd+unix:///x?socket=/a&socket=/b", "socket= stands there twice" },
		{ "nbd+unix:///x?SOCKET=/a", "SOCKET=: not a parameter" },
		{ "nbd+unix://h/x?socket=/s", "a unix socket has no host" },
		{ "nbds://h/x?tls-verify-peer=perhaps", "tls-verify-peer=perhaps: neither true nor false" },
		{ "nbds://h/x?tls-verify-peer", "tls-verify-peer=: neither true nor false" },
		{ "nbds://h/x?tls-certificates=", "tls-certificates=: a value is missing" },
		{ "nbds://h/x?color=red", "color=: not a parameter" },
		{ "nbd://h/x?tls-hostname=y", "tls-hostname=: without TLS; write nbds instead of nbd" },
		{ "nbd+unix:///x?socket=/s&tls-verify-peer=false", "tls-verify-peer=: without TLS; write nbds instead of nbd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (uri_parse(&uri, cases[i].text, &problem) == 0)
			fail_msg("%s was taken", cases[i].text);
		assert_int_equal(problem.status, STATUS_USAGE);
		assert_says(problem.text, cases[i].says);
		/* Nothing is left of it. */
		assert_null(uri.export);
		assert_null(uri.host);
	}
}

static void test_the_longest_name(void **state)
{
	static char text[5000];
	char *canonical;

	(void)state;
	strcpy(text, "nbd://h/");
	memset(text + 8, '_', 4096);
	parse(text);
	assert_int_equal(strlen(uri.export), 4096);
	/* One that isn't plain takes three times the room. */
	memset(uri.export, ' ', 4096);
	canonical = uri_canonical(&uri);
	assert_int_equal(strlen(canonical), 8 + 3 * 4096);
	free(canonical);
	uri_free(&uri);

	memset(text + 8, '_', 4097);
	assert_int_equal(uri_parse(&uri, text, &problem), -1);
	assert_says(problem.text, "4097 bytes; 4096 is the most");
}

/* Spoilt ones are refused or taken, and what was taken is canonical when it is written once more. */
static void test_spoilt_ones(void **state)
{
	static const char *const texts[] = { "nbd://u%40@host:10809/a/b%20c?tls-psk-file=x", "nbds+unix:///exp?socket=/run/s&tls-verify-peer=false",
					     "nbd://[fd00::1]:10/x" };
	uint64_t random = mutate_seed();

	(void)state;
	for (unsigned i = 0; i < 30000; i++) {
		char *text = mutate(texts[i % COUNT(texts)], &random), *once, *twice;

		if (uri_parse(&uri, text, &problem) == 0) {
			once = uri_canonical(&uri);
			uri_free(&uri);
			parse(once);
			twice = uri_canonical(&uri);
			assert_string_equal(once, twice);
			free(once);
			free(twice);
		}
		uri_free(&uri);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places_and_names),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_what_is_refused_and_why),
		cmocka_unit_test(test_the_longest_name),
		cmocka_unit_test(test_spoilt_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
