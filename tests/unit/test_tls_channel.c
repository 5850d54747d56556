/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel with OpenSSL at the other end, or another one. */
#include <errno.h>
#include <stdlib.h>

#include <openssl/ssl.h>

#include "tests/unit/mutate.h"
#include "tests/unit/tls_side.h"
#include "tests/unit/unit.h"

static struct side ours;

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

		length = side_read_into(&ours, iov, 2);
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
		side_receive(&ours, bytes, (size_t)length);
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

	side_send_to(&ours, talk->other);
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
		side_take_over(&ours, end, i & 2 ? 512 : TLS_MOST_DATA);
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
		side_take_over(&ours, &pair.server, most[i]);
		side_write(&ours, bytes, sizeof(bytes));
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
	side_take_over(&ours, &pair.server, 512);
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
	side_take_over(&ours, &pair.server, TLS_MOST_DATA);
	SSL_write(pair.client.ssl, "last", 4);
	SSL_shutdown(pair.client.ssl);
	side_receive_from(&ours, &pair.client);
	for (int i = 0; i < 4; i++)
		assert_int_equal(side_read(&ours, &byte, 1), 1);
	assert_int_equal(byte, 't');
	for (int i = 0; i < 2; i++)
		assert_int_equal(side_read(&ours, &byte, 1), -1);
	/* Who has said goodbye still listens. */
	side_write(&ours, "answer", 6);
	ours.made += tls_channel_close(&ours.channel, ours.sent + ours.made);
	side_send_to(&ours, &pair.client);
	side_assert_heard(&pair.client, "answer");
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
		side_take_over(&ours, &pair.server, TLS_MOST_DATA);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(SSL_key_update(pair.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(pair.client.ssl), 1);
		}
		side_receive_from(&ours, &pair.client);
		if (late) {
			const struct iovec iov = { &byte, 1 };
			size_t used;

			/* As where there is no room for an answer. */
			assert_int_equal(tls_channel_read(&ours.channel, ours.received, ours.end, &used, &iov, 1), 0);
			ours.start = used;
		} else {
			assert_int_equal(side_read(&ours, &byte, 1), 0);
			assert_int_equal(ours.made, TLS_LEAST_ROOM);
			assert_int_equal(ours.channel.out.number, 0);
		}
		assert_int_equal(tls_channel_has_answer(&ours.channel), late);
		side_write(&ours, "data", 4);
		/* One for all three. */
		assert_int_equal(ours.made, TLS_LEAST_ROOM + TLS_RECORD_EXTRA + 4);
		assert_int_equal(ours.channel.out.number, 1);
		side_send_to(&ours, &pair.client);
		side_assert_heard(&pair.client, "data");
		tls_channel_destroy(&ours.channel);
		pair_close(&pair);
	}
}

/* --- The limit of a key */

static void test_a_key_is_changed_before_it_has_sealed_too_much(void **state)
{
	struct pair pair;
	static struct side theirs;
	static const char full[TLS_MOST_DATA];
	char heard[16];

	(void)state;
	for (size_t suite = 0; pair_suites[suite]; suite++) {
		size_t updates = 0;

		pair_open(&pair, pair_suites[suite], 0);
		side_take_over(&ours, &pair.server, TLS_MOST_DATA);
		side_take_over(&theirs, &pair.client, TLS_MOST_DATA);
		for (int round = 0; round < 2; round++) {
			/* A record of so little counts for four blocks. */
			ours.channel.out.blocks = TLS_MOST_BLOCKS - 4 * 4;
			for (int i = 0; i < 10; i++) {
				uint64_t before = ours.channel.out.number;

				side_write(&ours, "not too much", 12);
				assert_true(ours.channel.out.blocks <= TLS_MOST_BLOCKS);
				updates += ours.channel.out.number < before;
				side_receive(&theirs, ours.sent, ours.made);
				ours.made = 0;
				assert_int_equal(side_read(&theirs, heard, sizeof(heard)), 12);
				assert_memory_equal(heard, "not too much", 12);
				/* It asks for nothing. */
				assert_int_equal(theirs.made, 0);
			}
			assert_int_equal(ours.channel.out.number, 6);
		}
		assert_int_equal(updates, 2);
		/* One of the largest counts for what it has. */
		ours.channel.out.blocks = TLS_MOST_BLOCKS - 4 - TLS_MOST_DATA / 16;
		side_write(&ours, full, sizeof(full));
		assert_int_equal(ours.channel.out.number, 7);
		side_write(&ours, full, 1);
		assert_int_equal(ours.channel.out.number, 1);
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
	side_take_over(&ours, &pair.server, TLS_MOST_DATA);
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
		cmocka_unit_test(test_a_key_is_changed_before_it_has_sealed_too_much),
		cmocka_unit_test(test_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
