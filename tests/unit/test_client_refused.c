/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's handshake: servers that say no, and servers that talk nonsense. */
#include "tests/unit/server_words.h"

static void test_refusals(void **state)
{
	static const struct {
		enum handshake_goal goal;
		const char *name;
		uint32_t type;
		const char *text;
		enum status status;
		const char *says;
	} cases[] = {
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_UNKNOWN, "", STATUS_REFUSED,
		  "the server has no export \"vm1\" (NBD_REP_ERR_UNKNOWN); platter exports URI lists them" },
		{ HANDSHAKE_INFO, "vm1", NBD_REP_ERR_UNKNOWN, "never heard of it", STATUS_REFUSED, "(NBD_REP_ERR_UNKNOWN): never heard of it; platter" },
		{ HANDSHAKE_GO, "", NBD_REP_ERR_UNKNOWN, "", STATUS_REFUSED, "the server has no default export (NBD_REP_ERR_UNKNOWN)" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_POLICY, "not you", STATUS_REFUSED,
		  "doesn't allow vm1 to this client (NBD_REP_ERR_POLICY): not you; its log has the reason" },
		{ HANDSHAKE_LIST, "", NBD_REP_ERR_POLICY, "", STATUS_REFUSED, "doesn't allow a list of its exports to this client" },
		{ HANDSHAKE_GO, "", NBD_REP_ERR_TLS_REQD, "", STATUS_TLS, "requires TLS for its default export (NBD_REP_ERR_TLS_REQD); write nbds" },
		{ HANDSHAKE_LIST, "", NBD_REP_ERR_TLS_REQD, "", STATUS_TLS, "requires TLS for a list of its exports" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_SHUTDOWN, "", STATUS_UNREACHABLE, "the server is ending (NBD_REP_ERR_SHUTDOWN)" },
		{ HANDSHAKE_INFO, "vm1", NBD_REP_ERR_UNSUP, "", STATUS_REFUSED, "the server can't give vm1 (NBD_REP_ERR_UNSUP)" },
		{ HANDSHAKE_LIST, "", NBD_REP_ERR_UNSUP, "", STATUS_REFUSED, "the server can't give a list of its exports" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_INVALID, "bad", STATUS_REFUSED, "the server refuses vm1 (error 3): bad" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_PLATFORM, "", STATUS_REFUSED, "(error 4)" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_BLOCK_SIZE_REQD, "", STATUS_REFUSED, "(error 8)" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_TOO_BIG, "", STATUS_REFUSED, "(error 9)" },
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_EXT_HEADER_REQD, "", STATUS_REFUSED, "(error 10)" },
		{ HANDSHAKE_GO, "vm1", UINT32_MAX, "", STATUS_REFUSED, "(error 2147483647)" },
		/* What it writes to a terminal is no command. */
		{ HANDSHAKE_GO, "vm1", NBD_REP_ERR_INVALID, "a\033[2Jb\n", STATUS_REFUSED, ": a?[2Jb?" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		static const uint32_t options[] = { [HANDSHAKE_GO] = NBD_OPT_GO, [HANDSHAKE_INFO] = NBD_OPT_INFO, [HANDSHAKE_LIST] = NBD_OPT_LIST };

		begin(cases[i].goal, cases[i].name, false);
		say_text(options[cases[i].goal], cases[i].type, cases[i].text);
		feed();
		assert_failed(cases[i].status, cases[i].says);
	}
}

static void test_no_tls(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", true);
	say_text(NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY, "none here");
	feed();
	assert_failed(STATUS_TLS, "the server has no TLS to offer (error 2): none here; without it write nbd:// instead of nbds://");
}

static void test_no_server_of_ours(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	memcpy(said.data, "SSH-2.0-OpenSSH_9.2", 18);
	feed();
	assert_failed(STATUS_REFUSED, "what answers there is no NBD server");
	begin(HANDSHAKE_GO, "x", false);
	put_be64(said.data + 8, UINT64_C(0x00420281861253));
	feed();
	assert_failed(STATUS_REFUSED, "an older kind of NBD");
	begin(HANDSHAKE_GO, "x", false);
	put_be16(said.data + 16, NBD_FLAG_NO_ZEROES);
	feed();
	assert_failed(STATUS_REFUSED, "an older kind of NBD");
	assert_int_equal(handshake.out_length, 0);
}

/* --- Nonsense */

static void test_replies_that_do_not_fit(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	say_reply(NBD_OPT_INFO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_failed(STATUS_REFUSED, "the server answers option 6, but 7 was sent");
	begin(HANDSHAKE_GO, "x", false);
	say_listed("x", "");
	put_be32(said.data + NBD_GREETING_SIZE + 8, NBD_OPT_GO);
	feed();
	assert_failed(STATUS_REFUSED, "a reply of type 2, which doesn't fit option 7");
	begin(HANDSHAKE_LIST, "", false);
	say_export(NBD_OPT_LIST, 512, 1);
	feed();
	assert_failed(STATUS_REFUSED, "a reply of type 3, which doesn't fit option 3");
	begin(HANDSHAKE_GO, "x", true);
	say_export(NBD_OPT_STARTTLS, 512, 1);
	feed();
	assert_failed(STATUS_REFUSED, "a reply of type 3, which doesn't fit option 5");
	begin(HANDSHAKE_GO, "x", false);
	say_reply(NBD_OPT_GO, 0, NULL, 0);
	feed();
	assert_failed(STATUS_REFUSED, "a reply of type 0");
	begin(HANDSHAKE_GO, "x", false);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_failed(STATUS_REFUSED, "told no size");
}

/* Neither is waited for: the header is enough. */
static void test_wrong_headers(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	put_be64(said.data + NBD_GREETING_SIZE, UINT64_C(0x0123456789abcdef));
	feed();
	assert_failed(STATUS_REFUSED, "begins with 0123456789abcdef instead of its magic number");
	for (uint32_t more = 0; more < 2; more++) {
		begin(HANDSHAKE_GO, "x", false);
		say_reply(NBD_OPT_GO, NBD_REP_INFO, NULL, 0);
		put_be32(said.data + NBD_GREETING_SIZE + 16, HANDSHAKE_MOST_REPLY + more);
		feed();
		if (more)
			assert_failed(STATUS_REFUSED, "has 65537 bytes; 65536 is the most");
		else
			assert_int_equal(handshake.state, HANDSHAKE_MORE);
	}
}

static void test_information_of_a_wrong_length(void **state)
{
	static const struct { uint16_t type; size_t length; } cases[] = {
		{ NBD_INFO_EXPORT, 11 }, { NBD_INFO_EXPORT, 13 }, { NBD_INFO_EXPORT, 2 },
		{ NBD_INFO_BLOCK_SIZE, 13 }, { NBD_INFO_BLOCK_SIZE, 15 }, { NBD_INFO_EXPORT, 1 }, { NBD_INFO_EXPORT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t data[16] = { 0 };

		begin(HANDSHAKE_GO, "x", false);
		put_be16(data, cases[i].type);
		say_reply(NBD_OPT_GO, NBD_REP_INFO, data, cases[i].length);
		feed();
		assert_failed(STATUS_REFUSED, "information of a wrong length");
	}
}

/* No file and no block device of Linux is so large: off_t is signed. */
static void test_a_size_that_cannot_be(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	say_export(NBD_OPT_GO, UINT64_C(1) << 63, 1);
	feed();
	assert_failed(STATUS_REFUSED, "9223372036854775808 bytes");
	begin(HANDSHAKE_GO, "x", false);
	say_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, NULL, 0);
	say_by_name(UINT64_MAX, 1, false);
	feed();
	assert_failed(STATUS_REFUSED, "18446744073709551615 bytes");
	begin(HANDSHAKE_GO, "x", false);
	say_export(NBD_OPT_GO, INT64_MAX, 1);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
}

static void test_strings(void **state)
{
	static char text[NBD_MAX_STRING + 1];

	(void)state;
	memset(text, 's', sizeof(text));
	begin(HANDSHAKE_INFO, "x", false);
	say_string(NBD_OPT_INFO, NBD_INFO_DESCRIPTION, text, NBD_MAX_STRING);
	/* The last one counts. */
	say_string(NBD_OPT_INFO, NBD_INFO_NAME, text, 1);
	say_string(NBD_OPT_INFO, NBD_INFO_NAME, "", 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_MORE);
	assert_int_equal(strlen(handshake.export.description), NBD_MAX_STRING);
	assert_string_equal(handshake.export.name, "");
	say_string(NBD_OPT_INFO, NBD_INFO_NAME, text, NBD_MAX_STRING + 1);
	feed();
	assert_failed(STATUS_REFUSED, "a string of 4097 bytes; 4096 is the most");
	assert_null(handshake.export.name);
}

static void test_lists_that_lie(void **state)
{
	static const struct { uint32_t name; size_t length; const char *says; } cases[] = {
		{ 0, 3, "a name of 0 bytes in a reply of 3" },
		{ 1, 4, "a name of 1 bytes in a reply of 4" },
		{ UINT32_MAX, 4, "a name of 4294967295 bytes in a reply of 4" },
		{ 4097, 4101, "a string of 4097 bytes" },
		{ 1, 4 + 1 + 4097, "a string of 4097 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t data[5000] = { 0 };

		put_be32(data, cases[i].name);
		begin(HANDSHAKE_LIST, "", false);
		say_reply(NBD_OPT_LIST, NBD_REP_SERVER, data, cases[i].length);
		feed();
		assert_failed(STATUS_REFUSED, cases[i].says);
	}
}

static void test_a_list_without_an_end(void **state)
{
	(void)state;
	begin(HANDSHAKE_LIST, "", false);
	feed();
	for (unsigned i = 0; i < HANDSHAKE_MOST_LISTED; i++) {
		say_listed("x", "");
		feed();
		assert_int_equal(handshake.state, HANDSHAKE_MORE);
	}
	say_listed("x", "");
	feed();
	assert_failed(STATUS_REFUSED, "more than 10000 exports");
}

/* Who is never silent would be listened to for ever. */
static void test_information_without_an_end(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	feed();
	for (unsigned i = 0; i < HANDSHAKE_MOST_INFO; i++) {
		say_string(NBD_OPT_GO, UINT16_MAX, "", 0);
		feed();
		assert_int_equal(handshake.state, HANDSHAKE_MORE);
	}
	say_string(NBD_OPT_GO, UINT16_MAX, "", 0);
	feed();
	assert_failed(STATUS_REFUSED, "more than 100 pieces of information");
}

/* Behind STARTTLS somebody in between would put what is to seem to be said inside. */
static void test_words_that_nobody_asked_for(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", true);
	say_reply(NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
	*say(1) = 0;
	feed();
	assert_failed(STATUS_REFUSED, "1 bytes that nobody asked for");
	begin(HANDSHAKE_GO, "x", false);
	say_export(NBD_OPT_GO, 512, 1);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	memset(say(16), 0, 16);
	feed();
	assert_failed(STATUS_REFUSED, "16 bytes that nobody asked for");
	/* It is left anyway. */
	begin(HANDSHAKE_INFO, "x", false);
	say_export(NBD_OPT_INFO, 512, 1);
	say_reply(NBD_OPT_INFO, NBD_REP_ACK, NULL, 0);
	memset(say(16), 0, 16);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
}

static int end(void **state)
{
	(void)state;
	handshake_free(&handshake);
	/* Twice is once. */
	handshake_free(&handshake);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_no_server_of_ours),
		cmocka_unit_test(test_replies_that_do_not_fit),
		cmocka_unit_test(test_wrong_headers),
		cmocka_unit_test(test_information_of_a_wrong_length),
		cmocka_unit_test(test_a_size_that_cannot_be),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_lists_that_lie),
		cmocka_unit_test(test_a_list_without_an_end),
		cmocka_unit_test(test_information_without_an_end),
		cmocka_unit_test(test_words_that_nobody_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
