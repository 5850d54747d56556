/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's handshake on bytes: what it asks, and what it makes of the answers, however these arrive. */
#include "tests/unit/mutate.h"
#include "tests/unit/server_words.h"

/* All that there is, in pieces of STEP bytes, what isn't used coming again; until it is over. */
static void feed_in_steps(size_t step)
{
	size_t begin_at = 0;

	for (size_t end = step < said.length ? step : said.length; handshake.state == HANDSHAKE_MORE;) {
		begin_at += handshake_feed(&handshake, said.data + begin_at, end - begin_at);
		if (handshake.state == HANDSHAKE_MORE) {
			assert_true(handshake_wants(&handshake, said.data + begin_at, end - begin_at) > end - begin_at);
			assert_true(end < said.length);
		}
		end = end + step < said.length ? end + step : said.length;
	}
}

/* The option at *AT of what is to be sent, which it moves behind it; its data. */
static const uint8_t *next_option(size_t *at, uint32_t option, size_t length)
{
	const uint8_t *bytes = handshake.out + *at;

	assert_true(*at + NBD_OPTION_HEADER_SIZE + length <= handshake.out_length);
	assert_int_equal(get_be64(bytes), NBD_OPTS_MAGIC);
	assert_int_equal(get_be32(bytes + 8), option);
	assert_int_equal(get_be32(bytes + 12), length);
	*at += NBD_OPTION_HEADER_SIZE + length;
	return bytes + NBD_OPTION_HEADER_SIZE;
}

static void next_info(size_t *at, uint32_t option, const char *name)
{
	size_t length = strlen(name);
	const uint8_t *data = next_option(at, option, 4 + length + 2 + 3 * 2);

	assert_int_equal(get_be32(data), length);
	assert_memory_equal(data + 4, name, length);
	data += 4 + length;
	assert_int_equal(get_be16(data), 3);
	assert_int_equal(get_be16(data + 2), NBD_INFO_NAME);
	assert_int_equal(get_be16(data + 4), NBD_INFO_DESCRIPTION);
	assert_int_equal(get_be16(data + 6), NBD_INFO_BLOCK_SIZE);
}

/* --- What is asked */

static void test_go(void **state)
{
	size_t at = NBD_CLIENT_FLAGS_SIZE;

	(void)state;
	begin(HANDSHAKE_GO, "vm1", false);
	assert_int_equal(handshake.state, HANDSHAKE_MORE);
	assert_int_equal(handshake.out_length, 0);
	assert_int_equal(feed(), NBD_GREETING_SIZE);
	assert_int_equal(get_be32(handshake.out), NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	next_info(&at, NBD_OPT_GO, "vm1");
	/* Neither structured replies nor extended headers: the kernel's driver knows none. */
	assert_int_equal(at, handshake.out_length);
	handshake.out_length = 0;

	say_export(NBD_OPT_GO, 1 << 20, 0x10d);
	say_blocks(NBD_OPT_GO, 1, 4096, 33554432);
	say_string(NBD_OPT_GO, NBD_INFO_NAME, "vm1", 3);
	say_string(NBD_OPT_GO, NBD_INFO_DESCRIPTION, "a disk", 6);
	/* Of what wasn't asked for nothing is taken amiss. */
	say_string(NBD_OPT_GO, 77, "whatever", 8);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	assert_int_equal(handshake.out_length, 0);
	assert_int_equal(handshake.export.size, 1 << 20);
	assert_int_equal(handshake.export.flags, 0x10d);
	assert_int_equal(handshake.export.minimum, 1);
	assert_int_equal(handshake.export.preferred, 4096);
	assert_int_equal(handshake.export.maximum, 33554432);
	assert_string_equal(handshake.export.name, "vm1");
	assert_string_equal(handshake.export.description, "a disk");
}

/* It takes leave, too. */
static void test_info(void **state)
{
	size_t at = NBD_CLIENT_FLAGS_SIZE;

	(void)state;
	begin(HANDSHAKE_INFO, "", false);
	feed();
	next_info(&at, NBD_OPT_INFO, "");
	assert_int_equal(at, handshake.out_length);
	say_export(NBD_OPT_INFO, 512, 1);
	say_reply(NBD_OPT_INFO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	next_option(&at, NBD_OPT_ABORT, 0);
	assert_int_equal(at, handshake.out_length);
	assert_null(handshake.export.name);
	assert_null(handshake.export.description);
	assert_int_equal(handshake.export.minimum, 0);
}

static void test_list(void **state)
{
	size_t at = NBD_CLIENT_FLAGS_SIZE;

	(void)state;
	begin(HANDSHAKE_LIST, "", false);
	feed();
	next_option(&at, NBD_OPT_LIST, 0);
	assert_int_equal(at, handshake.out_length);
	say_listed("one", "");
	say_listed("", "the default");
	say_listed("two", "with words");
	say_reply(NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	next_option(&at, NBD_OPT_ABORT, 0);
	assert_int_equal(handshake.listed_count, 3);
	assert_string_equal(handshake.listed[0].name, "one");
	assert_null(handshake.listed[0].description);
	assert_string_equal(handshake.listed[1].name, "");
	assert_string_equal(handshake.listed[1].description, "the default");
	assert_string_equal(handshake.listed[2].description, "with words");
}

static void test_tls_first(void **state)
{
	size_t at = NBD_CLIENT_FLAGS_SIZE;

	(void)state;
	begin(HANDSHAKE_GO, "vm1", true);
	feed();
	next_option(&at, NBD_OPT_STARTTLS, 0);
	assert_int_equal(at, handshake.out_length);
	handshake.out_length = 0;
	say_reply(NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_TLS);
	assert_int_equal(handshake.out_length, 0);
	handshake_secured(&handshake);
	assert_int_equal(handshake.state, HANDSHAKE_MORE);
	at = 0;
	next_info(&at, NBD_OPT_GO, "vm1");
	say_export(NBD_OPT_GO, 512, 1);
	say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
}

static void test_a_server_without_no_zeroes(void **state)
{
	(void)state;
	begin(HANDSHAKE_GO, "x", false);
	said.length = 0;
	say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
	feed();
	assert_int_equal(get_be32(handshake.out), NBD_FLAG_C_FIXED_NEWSTYLE);
}

/* --- The old way, where GO isn't known */

static void test_by_name(void **state)
{
	for (int zeroes = 0; zeroes < 2; zeroes++) {
		size_t at = 0;

		(void)state;
		begin(HANDSHAKE_GO, "old", false);
		said.length = 0;
		say_greeting(NBD_FLAG_FIXED_NEWSTYLE | (zeroes ? 0 : NBD_FLAG_NO_ZEROES));
		feed();
		handshake.out_length = 0;
		say_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, NULL, 0);
		feed();
		assert_memory_equal(next_option(&at, NBD_OPT_EXPORT_NAME, 3), "old", 3);
		assert_int_equal(at, handshake.out_length);
		assert_int_equal(handshake_wants(&handshake, NULL, 0), zeroes ? 134 : 10);
		say_by_name(1 << 30, 0x5, zeroes);
		feed();
		assert_int_equal(handshake.state, HANDSHAKE_DONE);
		assert_int_equal(handshake.export.size, 1 << 30);
		assert_int_equal(handshake.export.flags, 0x5);
		assert_null(handshake.export.description);
	}
}

/* Everything in one piece, with the longest name: all that it sends fits. */
static void test_the_longest_name_the_longest_way(void **state)
{
	static char name[NBD_MAX_STRING + 1];
	size_t at = NBD_CLIENT_FLAGS_SIZE;

	(void)state;
	memset(name, 'n', NBD_MAX_STRING);
	begin(HANDSHAKE_GO, name, true);
	say_reply(NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
	feed();
	handshake_secured(&handshake);
	say_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, NULL, 0);
	say_by_name(512, 1, false);
	feed();
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	assert_true(handshake.out_length <= sizeof(handshake.out));
	next_option(&at, NBD_OPT_STARTTLS, 0);
	next_info(&at, NBD_OPT_GO, name);
	assert_memory_equal(next_option(&at, NBD_OPT_EXPORT_NAME, NBD_MAX_STRING), name, NBD_MAX_STRING);
	assert_int_equal(at, handshake.out_length);
}

/* --- However it arrives */

static void compose(unsigned which)
{
	switch (which) {
	case 0:
		begin(HANDSHAKE_GO, "x", false);
		say_string(NBD_OPT_GO, NBD_INFO_DESCRIPTION, "words", 5);
		say_blocks(NBD_OPT_GO, 512, 4096, 1 << 20);
		say_export(NBD_OPT_GO, 12345, 3);
		say_reply(NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
		break;
	case 1:
		begin(HANDSHAKE_LIST, "", false);
		say_listed("one", "first");
		say_listed("two", "");
		say_reply(NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
		break;
	default:
		begin(HANDSHAKE_GO, "x", false);
		say_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, NULL, 0);
		say_by_name(12345, 3, false);
		break;
	}
}

static void test_split_at_every_byte(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 3; which++) {
		for (size_t step = 1;; step++) {
			compose(which);
			if (step > said.length)
				break;
			feed_in_steps(step);
			assert_int_equal(handshake.state, HANDSHAKE_DONE);
			if (which == 1) {
				assert_int_equal(handshake.listed_count, 2);
				assert_string_equal(handshake.listed[1].name, "two");
			} else {
				assert_int_equal(handshake.export.size, 12345);
				assert_int_equal(handshake.export.flags, 3);
			}
		}
	}
}

/* --- The identity */

#define UUID "0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3d"

static void test_identity(void **state)
{
	static const struct { const char *description, *identity; } cases[] = {
		{ "uuid=" UUID, UUID },
		{ "ram disk uuid=" UUID, UUID },
		{ "uuid=FF3C9A51-7D2E-4B60-9C1F-5E8D7A6B4C3D", "FF3C9A51-7D2E-4B60-9C1F-5E8D7A6B4C3D" },
		{ NULL, "" },
		{ "", "" },
		{ "ram disk", "" },
		{ UUID, "" },
		{ "uuid=", "" },
		{ "uuid=" UUID " ", "" },
		{ "uuid=" UUID " and more", "" },
		{ "myuuid=" UUID, "" },
		{ "UUID=" UUID, "" },
		{ "uuid=0f3c9a517d2e-4b60-9c1f-5e8d7a6b4c3d0", "" },
		{ "uuid=0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3g", "" },
		{ "uuid=0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3", "" },
		{ "uuid=0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3dd", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char found[HANDSHAKE_UUID + 1] = "something";

		assert_int_equal(handshake_identity(cases[i].description, found), *cases[i].identity != '\0');
		assert_string_equal(found, cases[i].identity);
	}
}

/* --- Anything */

/* With the phases' own magic numbers more often than chance would have them. */
static void randomize(uint64_t *random)
{
	for (size_t i = NBD_GREETING_SIZE; i < said.length; i++)
		if (mutate_random(random) % 16 == 0)
			said.data[i] = (uint8_t)mutate_random(random);
}

static void test_random_bytes(void **state)
{
	uint64_t random = mutate_seed();

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		compose(i % 3);
		handshake.tls = mutate_random(&random) % 4 == 0;
		if (mutate_random(&random) % 8 == 0)
			for (size_t at = 0; at < said.length; at++)
				said.data[at] = (uint8_t)mutate_random(&random);
		else
			randomize(&random);
		feed();
		if (handshake.state == HANDSHAKE_TLS)
			handshake_secured(&handshake);
		assert_true(handshake.out_length <= sizeof(handshake.out));
		if (handshake.state == HANDSHAKE_FAILED) {
			assert_true(handshake.problem.text[0]);
			for (const char *at = handshake.problem.text; *at; at++)
				assert_in_range(*at, ' ', '~');
		}
	}
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
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_tls_first),
		cmocka_unit_test(test_a_server_without_no_zeroes),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_the_longest_name_the_longest_way),
		cmocka_unit_test(test_split_at_every_byte),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
