/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel whose other end knows the secrets, and keeps to no rule. */
#include <errno.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/unit/tls_side.h"
#include "tests/unit/unit.h"

static struct side ours;

/* The client's way of sealing, in our hands. */
static struct tls_record forger;

static void forger_open(struct pair *pair)
{
	pair_open(pair, pair_suites[0], 0);
	side_take_over(&ours, &pair->server, TLS_MOST_DATA);
	assert_int_equal(tls_record_init(&forger, true, TLS_AES_128_GCM_SHA256, &pair->client.watch.out.secret,
					 pair->client.watch.out.records, TLS_MOST_DATA), 0);
}

static void forger_close(struct pair *pair)
{
	tls_record_destroy(&forger);
	tls_channel_destroy(&ours.channel);
	pair_close(pair);
}

static void forge(uint8_t type, const void *bytes, size_t length)
{
	static uint8_t record[TLS_MOST_DATA + TLS_RECORD_EXTRA];
	const struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct tls_place place = { &piece, 0 };

	side_receive(&ours, record, (size_t)tls_record_seal(&forger, type, &place, length, record));
}

/* It has failed for REASON, and the client is told by ALERT. */
static void assert_failed(struct pair *pair, int alert, const char *reason)
{
	uint8_t byte;

	for (int i = 0; i < 2; i++)
		assert_int_equal(side_read(&ours, &byte, 1), -EPROTO);
	assert_int_equal(ours.channel.state, TLS_CHANNEL_FAILED);
	assert_says(ours.channel.reason, reason);
	assert_int_equal(ours.made > 0, alert > 0);
	side_send_to(&ours, &pair->client);
	ERR_clear_error();
	assert_true(SSL_read(pair->client.ssl, &byte, 1) <= 0);
	if (alert)
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
	ERR_clear_error();
}

struct wrong {
	uint8_t type;
	const char *bytes;
	size_t length;
	int alert; /* 0: none is sent */
	const char *reason;
};

#define HANDSHAKE_OVER "a message of the handshake"

static const struct wrong wrongs[] = {
	{ 20, "\1", 1, SSL_AD_UNEXPECTED_MESSAGE, "of a type that there isn't" }, /* a change of the cipher */
	{ 24, "\1\0\1x", 4, SSL_AD_UNEXPECTED_MESSAGE, "of a type that there isn't" },
	{ 0, "\0\0", 2, SSL_AD_UNEXPECTED_MESSAGE, "has no type" },
	{ TLS_ALERT, "", 0, SSL_AD_UNEXPECTED_MESSAGE, "an empty record" },
	{ TLS_HANDSHAKE, "", 0, SSL_AD_UNEXPECTED_MESSAGE, "an empty record" },
	{ TLS_ALERT, "\1", 1, SSL_AD_DECODE_ERROR, "an alert of the wrong length" },
	{ TLS_ALERT, "\1\0\1\0", 4, SSL_AD_DECODE_ERROR, "an alert of the wrong length" },
	{ TLS_ALERT, "\2\24", 2, 0, "bad record mac" },
	{ TLS_ALERT, "\1\24", 2, 0, "bad record mac" }, /* the level says nothing */
	{ TLS_ALERT, "\2\120", 2, 0, "internal error" },
	{ TLS_ALERT, "\2\377", 2, 0, "unknown" },
	{ TLS_HANDSHAKE, "\1\0\0\0", 4, SSL_AD_UNEXPECTED_MESSAGE, HANDSHAKE_OVER }, /* ClientHello */
	{ TLS_HANDSHAKE, "\0\0\0\0", 4, SSL_AD_UNEXPECTED_MESSAGE, HANDSHAKE_OVER }, /* HelloRequest */
	{ TLS_HANDSHAKE, "\4\0\0\1x", 5, SSL_AD_UNEXPECTED_MESSAGE, HANDSHAKE_OVER }, /* NewSessionTicket */
	{ TLS_HANDSHAKE, "\13", 1, SSL_AD_UNEXPECTED_MESSAGE, HANDSHAKE_OVER }, /* Certificate */
	{ TLS_HANDSHAKE, "\30\0\0\0", 4, SSL_AD_DECODE_ERROR, "a key update of the wrong length" },
	{ TLS_HANDSHAKE, "\30\0\0\2\0\0", 6, SSL_AD_DECODE_ERROR, "a key update of the wrong length" },
	{ TLS_HANDSHAKE, "\30\1", 2, SSL_AD_DECODE_ERROR, "a key update of the wrong length" },
	{ TLS_HANDSHAKE, "\30\0\0\1\2", 5, SSL_AD_ILLEGAL_PARAMETER, "asks for what there isn't" },
	{ TLS_HANDSHAKE, "\30\0\0\1\0\0", 6, SSL_AD_UNEXPECTED_MESSAGE, "more behind a key update" },
	{ TLS_HANDSHAKE, "\30\0\0\1\0\30\0\0\1\0", 10, SSL_AD_UNEXPECTED_MESSAGE, "more behind a key update" },
};

static void test_what_is_no_data_and_no_key_update(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrongs) * 2; i++) {
		const struct wrong *wrong = &wrongs[i / 2];
		struct pair pair;
		char bytes[8];

		forger_open(&pair);
		/* What comes before it is still good. */
		if (i & 1)
			forge(TLS_DATA, "before", 6);
		forge(wrong->type, wrong->bytes, wrong->length);
		if (i & 1) {
			assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 6);
			assert_memory_equal(bytes, "before", 6);
		}
		assert_failed(&pair, wrong->alert, wrong->reason);
		assert_int_equal(ours.channel.theirs, wrong->alert == 0);
		forger_close(&pair);
	}
}

static void test_what_is_no_protected_record(void **state)
{
	static const struct wrong bare[] = {
		{ 0, "\24\3\3\0\1\1", 6, SSL_AD_UNEXPECTED_MESSAGE, "no record of data" },
		{ 0, "\25\3\3\0\2\1\0", 7, SSL_AD_UNEXPECTED_MESSAGE, "no record of data" },
		{ 0, "\26", 1, SSL_AD_UNEXPECTED_MESSAGE, "no record of data" },
		{ 0, "\27\3\3\100\22", 5, SSL_AD_RECORD_OVERFLOW, "too large" },
		{ 0, "\27\3\3\377\377", 5, SSL_AD_RECORD_OVERFLOW, "too large" },
		{ 0, "\27\3\3\0\0", 5, SSL_AD_BAD_RECORD_MAC, "cannot be opened" },
		{ 0, "\27\3\3\0\20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21, SSL_AD_BAD_RECORD_MAC, "cannot be opened" },
		{ 0, "\27\3\3\0\21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, SSL_AD_BAD_RECORD_MAC, "cannot be opened" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bare); i++) {
		struct pair pair;

		forger_open(&pair);
		side_receive(&ours, bare[i].bytes, bare[i].length);
		assert_failed(&pair, bare[i].alert, bare[i].reason);
		forger_close(&pair);
	}
}

static void test_a_changed_record_brings_nothing(void **state)
{
	struct pair pair;

	(void)state;
	for (size_t at = TLS_HEADER; at < TLS_RECORD_EXTRA + 10; at++) {
		forger_open(&pair);
		forge(TLS_DATA, "0123456789", 10);
		ours.received[at] ^= 0x40;
		assert_failed(&pair, SSL_AD_BAD_RECORD_MAC, "cannot be opened");
		forger_close(&pair);
	}
}

static void test_records_without_data_are_bounded(void **state)
{
	static const struct wrong idle[] = {
		{ TLS_DATA, "", 0, 0, "" }, { TLS_ALERT, "\1\132", 2, 0, "" }, { TLS_HANDSHAKE, "\30\0\0\1\0", 5, 0, "" },
		{ TLS_HANDSHAKE, "\30\0\0\1\1", 5, 0, "" },
	};
	struct pair pair;
	char byte;

	(void)state;
	for (size_t i = 0; i < COUNT(idle); i++) {
		forger_open(&pair);
		for (int round = 0; round < 3; round++) {
			for (int count = 0; count < TLS_MOST_IDLE; count++) {
				forge(idle[i].type, idle[i].bytes, idle[i].length);
				if (idle[i].type == TLS_HANDSHAKE)
					assert_int_equal(tls_record_update(&forger), 0);
			}
			assert_int_equal(side_read(&ours, &byte, 1), 0);
			if (round == 2)
				break;
			forge(TLS_DATA, "x", 1);
			assert_int_equal(side_read(&ours, &byte, 1), 1);
		}
		ours.made = 0;
		forge(idle[i].type, idle[i].bytes, idle[i].length);
		assert_int_equal(side_read(&ours, &byte, 1), -EPROTO);
		assert_says(ours.channel.reason, "too many records without data");
		forger_close(&pair);
	}
}

/* What is small and costs much is done a share at a time, and nothing of it is lost. */
static void test_a_call_opens_its_share(void **state)
{
	struct pair pair;
	char bytes[4 * TLS_MOST_AT_ONCE];

	(void)state;
	forger_open(&pair);
	for (int i = 0; i < 2 * TLS_MOST_AT_ONCE + 3; i++)
		forge(TLS_DATA, "x", 1);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), TLS_MOST_AT_ONCE);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), TLS_MOST_AT_ONCE);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 3);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 0);
	for (int i = 0; i < 3; i++) {
		forge(TLS_DATA, "yz", 2);
		forge(TLS_HANDSHAKE, "\30\0\0\1\0", 5);
		assert_int_equal(tls_record_update(&forger), 0);
	}
	for (int i = 0; i < 3; i++) {
		const struct iovec iov[] = { { bytes, 1 }, { bytes + 1, sizeof(bytes) - 1 } };

		assert_int_equal(side_read_into(&ours, iov, 2), 2);
		assert_memory_equal(bytes, "yz", 2);
	}
	/* Until there is data nobody else can be served with it. */
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 0);
	forge(TLS_HANDSHAKE, "\30\0\0\1\0", 5);
	assert_int_equal(tls_record_update(&forger), 0);
	forge(TLS_DATA, "after", 5);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 5);
	forger_close(&pair);
}

static void test_a_key_update_in_pieces(void **state)
{
	static const char update[] = { 24, 0, 0, 1, 0 };
	struct pair pair;
	char heard[8];

	(void)state;
	for (size_t first = 1; first < sizeof(update); first++) {
		forger_open(&pair);
		forge(TLS_HANDSHAKE, update, first);
		assert_int_equal(side_read(&ours, heard, sizeof(heard)), 0);
		forge(TLS_HANDSHAKE, update + first, sizeof(update) - first);
		assert_int_equal(tls_record_update(&forger), 0);
		forge(TLS_DATA, "after", 5);
		assert_int_equal(side_read(&ours, heard, sizeof(heard)), 5);
		assert_memory_equal(heard, "after", 5);
		/* Nothing may come in between. */
		forge(TLS_HANDSHAKE, update, first);
		forge(TLS_DATA, "inside", 6);
		assert_failed(&pair, SSL_AD_UNEXPECTED_MESSAGE, "something else inside");
		forger_close(&pair);
	}
}

static void test_nothing_is_read_behind_the_end(void **state)
{
	struct pair pair;
	char bytes[8];

	(void)state;
	forger_open(&pair);
	forge(TLS_DATA, "a", 1);
	forge(TLS_ALERT, "\1\0", 2);
	forge(TLS_DATA, "b", 1);
	assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(side_read(&ours, bytes, sizeof(bytes)), -1);
	forger_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_data_and_no_key_update),
		cmocka_unit_test(test_what_is_no_protected_record),
		cmocka_unit_test(test_a_changed_record_brings_nothing),
		cmocka_unit_test(test_records_without_data_are_bounded),
		cmocka_unit_test(test_a_call_opens_its_share),
		cmocka_unit_test(test_a_key_update_in_pieces),
		cmocka_unit_test(test_nothing_is_read_behind_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
