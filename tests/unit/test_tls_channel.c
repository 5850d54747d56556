/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel with OpenSSL at the other end, and with one that knows its secrets and keeps to no rule. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/tls_channel.h"
#include "tests/unit/mutate.h"
#include "tests/unit/tls_pair.h"
#include "tests/unit/unit.h"

#define BUFFER (256u << 10)

/* A channel in the server's place, what it has received and what it sends. */
struct side {
	struct tls_channel channel;
	uint8_t received[BUFFER], sent[BUFFER];
	size_t start, end, made;
};

static struct side ours;

static void take_over(struct side *side, struct end *end, size_t most)
{
	memset(side, 0, sizeof(*side));
	assert_int_equal(tls_channel_init(&side->channel, &end->watch, most), 0);
}

/* LENGTH bytes come, behind what is there. */
static void receive(struct side *side, const void *bytes, size_t length)
{
	memmove(side->received, side->received + side->start, side->end - side->start);
	side->end -= side->start;
	side->start = 0;
	assert_true(length <= sizeof(side->received) - side->end);
	memcpy(side->received + side->end, bytes, length);
	side->end += length;
}

static int64_t read_into(struct side *side, const struct iovec *iov, unsigned count)
{
	uint8_t *received = side->received + side->start;
	size_t used;
	int64_t result = tls_channel_read(&side->channel, received, side->end - side->start, &used, iov, count);

	side->start += used;
	assert_true(side->start <= side->end);
	if (tls_channel_has_answer(&side->channel))
		side->made += tls_channel_answer(&side->channel, side->sent + side->made);
	return result;
}

static int64_t read_some(struct side *side, void *to, size_t size)
{
	const struct iovec iov = { to, size };

	return read_into(side, &iov, 1);
}

static void write_all(struct side *side, const void *bytes, size_t length)
{
	const struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct tls_place place = { &piece, 0 };
	size_t made, room = sizeof(side->sent) - side->made;

	assert_int_equal(tls_channel_write(&side->channel, &place, length, side->sent + side->made, room, &made), length);
	side->made += made;
}

/* What the channel has made reaches END. */
static void send_to(struct side *side, struct end *end)
{
	if (side->made)
		assert_int_equal(BIO_write(SSL_get_rbio(end->ssl), side->sent, (int)side->made), side->made);
	side->made = 0;
}

/* What END has sent comes. */
static void receive_from(struct side *side, struct end *end)
{
	uint8_t bytes[20000];
	int length;

	while ((length = BIO_read(SSL_get_wbio(end->ssl), bytes, sizeof(bytes))) > 0)
		receive(side, bytes, (size_t)length);
}

static void assert_heard(struct end *end, const char *text)
{
	char heard[64] = "";

	assert_int_equal(SSL_read(end->ssl, heard, sizeof(heard)), strlen(text));
	assert_string_equal(heard, text);
}

/* --- OpenSSL */

#define STREAM 700000

/* Both ways; what is wrong would be in the wrong place or missing. */
static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 251 + at / 65536);
}

struct talk {
	struct pair pair;
	struct end *other;
	size_t to_us, to_them; /* bytes that have arrived */
	size_t by_us, by_them; /* bytes that were sent */
	uint64_t random;
};

static size_t some(struct talk *talk, size_t most)
{
	return mutate_random(&talk->random) % (mutate_random(&talk->random) % 2 ? most : 50) + 1;
}

static void they_write(struct talk *talk)
{
	static uint8_t bytes[40000];
	size_t length = some(talk, sizeof(bytes) - 1);
	int update = mutate_random(&talk->random) % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;

	if (length > STREAM - talk->by_them)
		length = STREAM - talk->by_them;
	if (mutate_random(&talk->random) % 8 == 0)
		assert_int_equal(SSL_key_update(talk->other->ssl, update), 1);
	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(talk->by_them + i);
	if (length)
		assert_int_equal(SSL_write(talk->other->ssl, bytes, (int)length), length);
	talk->by_them += length;
}

/* All that is there, as much at a time as there happens to be room for. */
static void we_read(struct talk *talk)
{
	static uint8_t bytes[50000];
	int64_t length;

	do {
		size_t first = some(talk, 25000), second = some(talk, 20000);
		const struct iovec iov[] = { { bytes, first }, { bytes + first, second } };

		length = read_into(&ours, iov, 2);
		assert_true(length >= 0);
		for (size_t i = 0; i < (size_t)length; i++)
			assert_int_equal(bytes[i], byte_at(talk->to_us + i));
		talk->to_us += (size_t)length;
	} while (length);
}

/* What was sent comes in pieces of any size. */
static void they_speak(struct talk *talk)
{
	static uint8_t bytes[30000];
	int length = BIO_read(SSL_get_wbio(talk->other->ssl), bytes, (int)some(talk, sizeof(bytes) - 1));

	if (length > 0)
		receive(&ours, bytes, (size_t)length);
	else
		they_write(talk);
	we_read(talk);
}

static void we_write(struct talk *talk)
{
	static uint8_t bytes[60000];
	struct iovec pieces[20];
	struct tls_place place = { pieces, 0 };
	size_t length = 0, room = some(talk, 70000) + 100, made;
	int64_t done;

	for (size_t i = 0; i < COUNT(pieces); i++) {
		pieces[i] = (struct iovec){ bytes + length, some(talk, 3000) };
		length += pieces[i].iov_len;
	}
	if (length > STREAM - talk->by_us)
		length = STREAM - talk->by_us;
	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(talk->by_us + i);
	ours.channel.update |= mutate_random(&talk->random) % 8 == 0;
	done = tls_channel_write(&ours.channel, &place, length, ours.sent + ours.made, room, &made);
	assert_true(done >= 0 && made <= room && (done > 0 || length == 0));
	ours.made += made;
	talk->by_us += (size_t)done;
}

static void they_read(struct talk *talk)
{
	static uint8_t bytes[50000];
	int length;

	send_to(&ours, talk->other);
	while ((length = SSL_read(talk->other->ssl, bytes, (int)some(talk, sizeof(bytes) - 1))) > 0) {
		for (size_t i = 0; i < (size_t)length; i++)
			assert_int_equal(bytes[i], byte_at(talk->to_them + i));
		talk->to_them += (size_t)length;
	}
	assert_int_equal(SSL_get_error(talk->other->ssl, length), SSL_ERROR_WANT_READ);
}

static void test_openssl_at_the_other_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3 * 2 * 2; i++) {
		struct talk talk = { .random = mutate_seed() + i };
		struct end *end = i & 1 ? &talk.pair.client : &talk.pair.server;

		talk.other = i & 1 ? &talk.pair.server : &talk.pair.client;
		pair_open(&talk.pair, pair_suites[i / 4], 0);
		pair_say(talk.other, end, "before");
		take_over(&ours, end, i & 2 ? 512 : TLS_MOST_DATA);
		if (i & 2)
			ours.channel.in.most = TLS_MOST_DATA;
		while (talk.to_us < STREAM || talk.to_them < STREAM) {
			they_speak(&talk);
			we_write(&talk);
			they_read(&talk);
		}
		assert_int_equal(talk.to_us, STREAM);
		assert_int_equal(talk.to_them, STREAM);
		tls_channel_destroy(&ours.channel);
		pair_close(&talk.pair);
	}
}

static void test_records_are_full_and_no_larger_than_agreed_upon(void **state)
{
	static const uint8_t bytes[50000];
	static const size_t most[] = { 512, 4096, TLS_MOST_DATA };
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < COUNT(most); i++) {
		size_t left = sizeof(bytes);

		pair_open(&pair, pair_suites[0], 0);
		take_over(&ours, &pair.server, most[i]);
		write_all(&ours, bytes, sizeof(bytes));
		for (size_t at = 0, size; at < ours.made; at += size) {
			size = (size_t)tls_record_size(ours.sent + at, ours.made - at);
			assert_int_equal(tls_record_room(size), left < most[i] ? left : most[i]);
			left -= tls_record_room(size);
		}
		assert_int_equal(left, 0);
		tls_channel_destroy(&ours.channel);
		pair_close(&pair);
	}
}

static void test_no_more_than_there_is_room_for(void **state)
{
	static uint8_t bytes[4000];
	struct pair pair;

	(void)state;
	pair_open(&pair, pair_suites[0], 0);
	take_over(&ours, &pair.server, 512);
	for (size_t room = 0; room < 1700; room++) {
		const struct iovec piece = { bytes, sizeof(bytes) };
		struct tls_place place = { &piece, 0 };
		uint8_t *exact = malloc(room + 1);
		size_t made;
		int64_t done;

		ours.channel.update = room % 2;
		exact[room] = 0xee;
		done = tls_channel_write(&ours.channel, &place, sizeof(bytes), exact, room, &made);
		assert_true(done >= 0 && made <= room);
		assert_int_equal(exact[room], 0xee);
		assert_true(done > 0 || room <= TLS_LEAST_ROOM + TLS_RECORD_EXTRA);
		assert_int_equal(place.offset, done);
		/* An update waits for the data that it precedes. */
		assert_int_equal(ours.channel.update, done == 0 && room % 2);
		free(exact);
	}
	tls_channel_destroy(&ours.channel);
	pair_close(&pair);
}

static void test_goodbye(void **state)
{
	struct pair pair;
	char byte;

	(void)state;
	pair_open(&pair, pair_suites[1], 0);
	take_over(&ours, &pair.server, TLS_MOST_DATA);
	SSL_write(pair.client.ssl, "last", 4);
	SSL_shutdown(pair.client.ssl);
	receive_from(&ours, &pair.client);
	for (int i = 0; i < 4; i++)
		assert_int_equal(read_some(&ours, &byte, 1), 1);
	assert_int_equal(byte, 't');
	for (int i = 0; i < 2; i++)
		assert_int_equal(read_some(&ours, &byte, 1), -1);
	/* Who has said goodbye still listens. */
	write_all(&ours, "answer", 6);
	ours.made += tls_channel_close(&ours.channel, ours.sent + ours.made);
	send_to(&ours, &pair.client);
	assert_heard(&pair.client, "answer");
	assert_int_equal(SSL_read(pair.client.ssl, &byte, 1), 0);
	assert_int_equal(SSL_get_error(pair.client.ssl, 0), SSL_ERROR_ZERO_RETURN);
	tls_channel_destroy(&ours.channel);
	pair_close(&pair);
}

static void test_an_update_that_is_asked_for_is_answered_at_once_or_before_data(void **state)
{
	struct pair pair;
	char byte;

	(void)state;
	for (int late = 0; late < 2; late++) {
		pair_open(&pair, pair_suites[2], 0);
		take_over(&ours, &pair.server, TLS_MOST_DATA);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(SSL_key_update(pair.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(pair.client.ssl), 1);
		}
		receive_from(&ours, &pair.client);
		if (late) {
			const struct iovec iov = { &byte, 1 };
			size_t used;

			/* As where there is no room for an answer. */
			assert_int_equal(tls_channel_read(&ours.channel, ours.received, ours.end, &used, &iov, 1), 0);
			ours.start = used;
		} else {
			assert_int_equal(read_some(&ours, &byte, 1), 0);
			assert_int_equal(ours.made, TLS_LEAST_ROOM);
			assert_int_equal(ours.channel.out.number, 0);
		}
		assert_int_equal(tls_channel_has_answer(&ours.channel), late);
		write_all(&ours, "data", 4);
		/* One for all three. */
		assert_int_equal(ours.made, TLS_LEAST_ROOM + TLS_RECORD_EXTRA + 4);
		assert_int_equal(ours.channel.out.number, 1);
		send_to(&ours, &pair.client);
		assert_heard(&pair.client, "data");
		tls_channel_destroy(&ours.channel);
		pair_close(&pair);
	}
}

/* --- What keeps to no rule */

/* The client's way of sealing, in our hands. */
static struct tls_record forger;

static void forger_open(struct pair *pair)
{
	pair_open(pair, pair_suites[0], 0);
	take_over(&ours, &pair->server, TLS_MOST_DATA);
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

	receive(&ours, record, (size_t)tls_record_seal(&forger, type, &place, length, record));
}

/* It has failed for REASON, and the client is told by ALERT. */
static void assert_failed(struct pair *pair, int alert, const char *reason)
{
	uint8_t byte;

	for (int i = 0; i < 2; i++)
		assert_int_equal(read_some(&ours, &byte, 1), -EPROTO);
	assert_int_equal(ours.channel.state, TLS_CHANNEL_FAILED);
	assert_says(ours.channel.reason, reason);
	assert_int_equal(ours.made > 0, alert > 0);
	send_to(&ours, &pair->client);
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
			assert_int_equal(read_some(&ours, bytes, sizeof(bytes)), 6);
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
		receive(&ours, bare[i].bytes, bare[i].length);
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
			assert_int_equal(read_some(&ours, &byte, 1), 0);
			if (round == 2)
				break;
			forge(TLS_DATA, "x", 1);
			assert_int_equal(read_some(&ours, &byte, 1), 1);
		}
		ours.made = 0;
		forge(idle[i].type, idle[i].bytes, idle[i].length);
		assert_int_equal(read_some(&ours, &byte, 1), -EPROTO);
		assert_says(ours.channel.reason, "too many records without data");
		forger_close(&pair);
	}
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
		assert_int_equal(read_some(&ours, heard, sizeof(heard)), 0);
		forge(TLS_HANDSHAKE, update + first, sizeof(update) - first);
		assert_int_equal(tls_record_update(&forger), 0);
		forge(TLS_DATA, "after", 5);
		assert_int_equal(read_some(&ours, heard, sizeof(heard)), 5);
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
	assert_int_equal(read_some(&ours, bytes, sizeof(bytes)), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(read_some(&ours, bytes, sizeof(bytes)), -1);
	forger_close(&pair);
}

/* --- The limit of a key */

static void test_a_key_is_changed_before_it_has_sealed_too_much(void **state)
{
	struct pair pair;
	static struct side theirs;
	char heard[16];

	(void)state;
	for (size_t suite = 0; pair_suites[suite]; suite++) {
		size_t updates = 0;

		pair_open(&pair, pair_suites[suite], 0);
		take_over(&ours, &pair.server, TLS_MOST_DATA);
		take_over(&theirs, &pair.client, TLS_MOST_DATA);
		for (int round = 0; round < 2; round++) {
			ours.channel.out.number = theirs.channel.in.number = TLS_MOST_RECORDS - 5;
			for (int i = 0; i < 10; i++) {
				uint64_t before = ours.channel.out.number;

				write_all(&ours, "not too much", 12);
				assert_true(ours.channel.out.number < TLS_MOST_RECORDS);
				updates += ours.channel.out.number < before;
				receive(&theirs, ours.sent, ours.made);
				ours.made = 0;
				assert_int_equal(read_some(&theirs, heard, sizeof(heard)), 12);
				assert_memory_equal(heard, "not too much", 12);
				/* It asks for nothing. */
				assert_int_equal(theirs.made, 0);
			}
			assert_int_equal(ours.channel.out.number, 6);
		}
		assert_int_equal(updates, 2);
		tls_channel_destroy(&ours.channel);
		tls_channel_destroy(&theirs.channel);
		pair_close(&pair);
	}
}

static void test_nothing_is_left(void **state)
{
	static const struct tls_channel nothing;
	struct pair pair;

	(void)state;
	pair_open(&pair, pair_suites[1], 0);
	take_over(&ours, &pair.server, TLS_MOST_DATA);
	tls_channel_destroy(&ours.channel);
	assert_memory_equal(&ours.channel, &nothing, sizeof(nothing));
	tls_channel_destroy(&ours.channel);
	pair.server.watch.out.secret.length = 0;
	assert_int_equal(tls_channel_init(&ours.channel, &pair.server.watch, TLS_MOST_DATA), -EINVAL);
	assert_memory_equal(&ours.channel, &nothing, sizeof(nothing));
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openssl_at_the_other_end),
		cmocka_unit_test(test_records_are_full_and_no_larger_than_agreed_upon),
		cmocka_unit_test(test_no_more_than_there_is_room_for),
		cmocka_unit_test(test_goodbye),
		cmocka_unit_test(test_an_update_that_is_asked_for_is_answered_at_once_or_before_data),
		cmocka_unit_test(test_what_is_no_data_and_no_key_update),
		cmocka_unit_test(test_what_is_no_protected_record),
		cmocka_unit_test(test_a_changed_record_brings_nothing),
		cmocka_unit_test(test_records_without_data_are_bounded),
		cmocka_unit_test(test_a_key_update_in_pieces),
		cmocka_unit_test(test_nothing_is_read_behind_the_end),
		cmocka_unit_test(test_a_key_is_changed_before_it_has_sealed_too_much),
		cmocka_unit_test(test_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
