/* SPDX-License-Identifier: BSD-2-Clause */
/* One direction's records alone: the bytes of RFC 8448, and whatever is wrong with others. */
#include <errno.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "common/tls_record.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

#define MOST_SIZE (TLS_MOST_DATA + TLS_RECORD_EXTRA)

static const unsigned suites[] = { TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 };

/* Both ends of one direction. */
struct direction {
	struct tls_record seal, open;
};

static size_t from_hex(uint8_t *bytes, size_t size, const char *hex)
{
	size_t length;

	assert_int_equal(OPENSSL_hexstr2buf_ex(bytes, size, &length, hex, '\0'), 1);
	return length;
}

static void direction_init(struct direction *direction, unsigned suite, const struct tls_secret *secret, uint64_t number)
{
	assert_int_equal(tls_record_init(&direction->seal, true, suite, secret, number, TLS_MOST_DATA), 0);
	assert_int_equal(tls_record_init(&direction->open, false, suite, secret, number, TLS_MOST_DATA), 0);
}

/* With some secret. */
static void direction_of(struct direction *direction, unsigned suite)
{
	struct tls_secret secret = { .length = suite == TLS_AES_256_GCM_SHA384 ? 48 : 32 };

	for (size_t i = 0; i < secret.length; i++)
		secret.bytes[i] = (uint8_t)(i * i + suite);
	direction_init(direction, suite, &secret, 0);
}

static void direction_destroy(struct direction *direction)
{
	tls_record_destroy(&direction->seal);
	tls_record_destroy(&direction->open);
}

/* In one piece. */
static size_t seal(struct tls_record *record, uint8_t type, const void *data, size_t length, uint8_t *to)
{
	const struct iovec piece = { (void *)(uintptr_t)data, length };
	struct tls_place place = { &piece, 0 };

	assert_int_equal(tls_record_seal(record, type, &place, length, to), length + TLS_RECORD_EXTRA);
	return length + TLS_RECORD_EXTRA;
}

/* --- RFC 8448, section 3: what client and server say to each other after the handshake */

struct vector {
	const char *secret;
	uint64_t number;
	uint8_t type;
	const char *data, *record;
};

#define CLIENT "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define SERVER "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define FIFTY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"

static const struct vector vectors[] = {
	{ CLIENT, 0, TLS_DATA, FIFTY,
	  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a29770"
	  "14bd1e3deae63aeebb21694915e4" },
	{ SERVER, 1, TLS_DATA, FIFTY,
	  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c00"
	  "47c2abf332540dd032e167c2955d" },
	{ CLIENT, 1, TLS_ALERT, "0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3" },
	{ SERVER, 2, TLS_ALERT, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9" },
};

static void test_the_records_of_rfc_8448(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		struct tls_secret secret = { .length = 32 };
		struct direction direction;
		uint8_t data[64], expected[128], made[128], opened[64], type;
		size_t length = from_hex(data, sizeof(data), vectors[i].data);
		size_t size = from_hex(expected, sizeof(expected), vectors[i].record);

		from_hex(secret.bytes, sizeof(secret.bytes), vectors[i].secret);
		direction_init(&direction, TLS_AES_128_GCM_SHA256, &secret, vectors[i].number);
		assert_int_equal(seal(&direction.seal, vectors[i].type, data, length, made), size);
		assert_memory_equal(made, expected, size);
		assert_int_equal(tls_record_size(made, size), size);
		assert_int_equal(tls_record_open(&direction.open, made, size, opened, &type), length);
		assert_int_equal(type, vectors[i].type);
		assert_memory_equal(opened, data, length);
		direction_destroy(&direction);
	}
}

/* --- Pieces and places */

static uint8_t data[TLS_MOST_DATA], record[MOST_SIZE], again[MOST_SIZE];

static void make_data(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
}

/* Cuts data of LENGTH into pieces of random sizes, empty ones among them. */
static size_t cut(struct iovec *pieces, size_t most, size_t length, uint64_t *random)
{
	size_t count = 0, at = 0;

	while (at < length) {
		size_t part = mutate_random(random) % (mutate_random(random) % 3 ? 40 : 9000);

		if (part > length - at || count == most - 1)
			part = length - at;
		pieces[count++] = (struct iovec){ data + at, part };
		at += part;
	}
	return count;
}

static void test_data_in_pieces_makes_the_same_record(void **state)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 100, 4112, 16383, TLS_MOST_DATA };

	uint64_t random = mutate_seed();

	(void)state;
	make_data();
	for (size_t i = 0; i < COUNT(suites) * COUNT(lengths) * 20; i++) {
		size_t length = lengths[i / COUNT(suites) % COUNT(lengths)];
		struct direction direction;
		struct iovec pieces[64];
		struct tls_place place = { pieces, 0 };
		size_t size, count = cut(pieces, COUNT(pieces), length, &random);

		direction_of(&direction, suites[i % COUNT(suites)]);
		size = seal(&direction.seal, TLS_DATA, data, length, record);
		direction.seal.number = 0;
		assert_int_equal(tls_record_seal(&direction.seal, TLS_DATA, &place, length, again), size);
		assert_memory_equal(again, record, size);
		/* Empty ones at the end may be left. */
		assert_true(length == 0 || place.piece == pieces + count || place.piece->iov_len == 0);
		direction_destroy(&direction);
	}
}

static void test_a_place_inside_a_piece(void **state)
{
	struct direction direction;
	const struct iovec pieces[] = { { data, 100 }, { data + 100, 50 } };
	struct tls_place place = { pieces, 0 };
	uint8_t opened[100], type;

	(void)state;
	make_data();
	direction_of(&direction, suites[0]);
	for (size_t done = 0; done < 150; done += 30) {
		assert_ptr_equal(place.piece, pieces + (done >= 100));
		assert_int_equal(place.offset, done >= 100 ? done - 100 : done);
		assert_int_equal(tls_record_seal(&direction.seal, TLS_DATA, &place, 30, record), 30 + TLS_RECORD_EXTRA);
		assert_int_equal(tls_record_open(&direction.open, record, 30 + TLS_RECORD_EXTRA, opened, &type), 30);
		assert_memory_equal(opened, data + done, 30);
	}
	direction_destroy(&direction);
}

static void test_a_record_is_opened_where_it_is_or_into_no_more_room_than_it_needs(void **state)
{
	(void)state;
	make_data();
	for (size_t i = 0; i < COUNT(suites) * 70; i++) {
		size_t length = i / COUNT(suites) * 7, size;
		struct direction direction;
		uint8_t *exact = malloc(length + 1), type;

		direction_of(&direction, suites[i % COUNT(suites)]);
		size = seal(&direction.seal, TLS_DATA, data, length, record);
		assert_int_equal(tls_record_room(size), length);
		exact[length] = 0xee;
		assert_int_equal(tls_record_open(&direction.open, record, size, exact, &type), length);
		assert_memory_equal(exact, data, length);
		assert_int_equal(exact[length], 0xee);
		direction.open.number = 0;
		assert_int_equal(tls_record_open(&direction.open, record, size, record + TLS_HEADER, &type), length);
		assert_memory_equal(record + TLS_HEADER, data, length);
		free(exact);
		direction_destroy(&direction);
	}
}

/* --- What is wrong */

static void test_every_changed_byte_is_noticed(void **state)
{
	(void)state;
	make_data();
	for (size_t i = 0; i < COUNT(suites); i++) {
		struct direction direction;
		uint8_t opened[200], type;
		size_t size;

		direction_of(&direction, suites[i]);
		size = seal(&direction.seal, TLS_DATA, data, 200, record);
		for (size_t at = 0; at < size; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				record[at] ^= (uint8_t)(1 << bit);
				direction.open.number = 0;
				assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), -EBADMSG);
				record[at] ^= (uint8_t)(1 << bit);
			}
		}
		direction.open.number = 0;
		assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), 200);
		direction_destroy(&direction);
	}
}

static void test_a_record_is_good_for_its_number_and_secret_only(void **state)
{
	(void)state;
	make_data();
	for (size_t i = 0; i < COUNT(suites); i++) {
		struct direction direction;
		uint8_t opened[200], type;
		size_t size;

		direction_of(&direction, suites[i]);
		size = seal(&direction.seal, TLS_DATA, data, 100, record);
		assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), 100);
		/* Again. */
		assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), -EBADMSG);
		/* The same number, but another secret at one end; then at both. */
		assert_int_equal(tls_record_update(&direction.open), 0);
		assert_int_equal(direction.open.number, 0);
		assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), -EBADMSG);
		assert_int_equal(tls_record_update(&direction.seal), 0);
		direction.open.number = 0;
		size = seal(&direction.seal, TLS_DATA, data, 100, record);
		assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), 100);
		direction_destroy(&direction);
	}
}

static void test_no_number_comes_twice(void **state)
{
	struct direction direction;
	const struct iovec piece = { data, 10 };
	struct tls_place place = { &piece, 0 };
	uint8_t opened[10], type;

	(void)state;
	direction_of(&direction, suites[0]);
	direction.seal.number = direction.open.number = UINT64_MAX - 1;
	seal(&direction.seal, TLS_DATA, data, 10, record);
	assert_int_equal(tls_record_open(&direction.open, record, 10 + TLS_RECORD_EXTRA, opened, &type), 10);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_record_seal(&direction.seal, TLS_DATA, &place, 10, record), -EIO);
		assert_int_equal(tls_record_open(&direction.open, record, 10 + TLS_RECORD_EXTRA, opened, &type), -EBADMSG);
	}
	direction_destroy(&direction);
}

static void test_nothing_more_after_a_key_update_that_failed(void **state)
{
	struct direction direction;
	const struct iovec piece = { data, 10 };
	struct tls_place place = { &piece, 0 };
	uint8_t opened[10], type;

	(void)state;
	direction_of(&direction, suites[0]);
	seal(&direction.seal, TLS_DATA, data, 10, record);
	/* What there is no next key of stands for want of memory. */
	direction.seal.suite = direction.open.suite = 0;
	assert_int_equal(tls_record_update(&direction.seal), -ENOTSUP);
	assert_int_equal(tls_record_update(&direction.open), -ENOTSUP);
	assert_int_equal(tls_record_open(&direction.open, record, 10 + TLS_RECORD_EXTRA, opened, &type), -EBADMSG);
	assert_int_equal(tls_record_seal(&direction.seal, TLS_DATA, &place, 10, record), -EIO);
	direction_destroy(&direction);
}

static void test_the_type_is_in_front_of_the_padding(void **state)
{
	/* As a record of type 0, so that these bytes are followed by one more zero. */
	static const uint8_t padded[] = { 'a', 0, 'b', TLS_DATA, 0, 0, 0 }, nothing[] = { TLS_ALERT, 0 }, zeroes[3];
	struct direction direction;
	uint8_t opened[8], type;
	size_t size;

	(void)state;
	direction_of(&direction, suites[0]);
	size = seal(&direction.seal, 0, padded, sizeof(padded), record);
	assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), 3);
	assert_int_equal(type, TLS_DATA);
	assert_memory_equal(opened, padded, 3);
	size = seal(&direction.seal, 0, nothing, sizeof(nothing), record);
	assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), 0);
	assert_int_equal(type, TLS_ALERT);
	size = seal(&direction.seal, 0, zeroes, sizeof(zeroes), record);
	assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), -EPROTO);
	size = seal(&direction.seal, 0, NULL, 0, record);
	assert_int_equal(tls_record_open(&direction.open, record, size, opened, &type), -EPROTO);
	direction_destroy(&direction);
}

static void test_sizes(void **state)
{
	static const uint8_t types[] = { 0, 20, 21, 22, 24, 255 };
	uint8_t header[] = { TLS_DATA, 3, 3, 0, 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		assert_int_equal(tls_record_size(&types[i], 1), -EPROTO);
		assert_int_equal(tls_record_size(&types[i], 0), 0);
	}
	for (size_t have = 0; have < TLS_HEADER; have++)
		assert_int_equal(tls_record_size(header, have), 0);
	assert_int_equal(tls_record_size(header, 5), 5);
	/* 16384 bytes, their type and the tag; and one more. */
	header[3] = 0x40;
	header[4] = 17;
	assert_int_equal(tls_record_size(header, 5), MOST_SIZE);
	header[4] = 18;
	assert_int_equal(tls_record_size(header, 5), -EMSGSIZE);
	header[3] = header[4] = 255;
	assert_int_equal(tls_record_size(header, 5), -EMSGSIZE);
	assert_int_equal(tls_record_room(0), 0);
	assert_int_equal(tls_record_room(TLS_RECORD_EXTRA), 0);
	assert_int_equal(tls_record_room(MOST_SIZE), TLS_MOST_DATA);
}

static void test_what_is_too_short_for_a_tag(void **state)
{
	struct direction direction;
	uint8_t *exact, opened[1], type;

	(void)state;
	direction_of(&direction, suites[0]);
	for (size_t size = TLS_HEADER; size <= TLS_HEADER + TLS_TAG; size++) {
		exact = calloc(1, size);
		exact[0] = TLS_DATA;
		exact[4] = (uint8_t)(size - TLS_HEADER);
		assert_int_equal(tls_record_open(&direction.open, exact, size, opened, &type), -EBADMSG);
		free(exact);
	}
	direction_destroy(&direction);
}

static void test_more_data_than_agreed_upon(void **state)
{
	static const uint8_t padded[] = { 1, 2, 3, TLS_DATA, 0, 0, 0 };
	struct direction direction;
	uint8_t opened[8], type;

	(void)state;
	direction_of(&direction, suites[0]);
	direction.open.most = 3;
	seal(&direction.seal, TLS_DATA, data, 3, record);
	assert_int_equal(tls_record_open(&direction.open, record, 3 + TLS_RECORD_EXTRA, opened, &type), 3);
	seal(&direction.seal, TLS_DATA, data, 4, record);
	assert_int_equal(tls_record_open(&direction.open, record, 4 + TLS_RECORD_EXTRA, opened, &type), -EMSGSIZE);
	/* Padding is no data. */
	seal(&direction.seal, 0, padded, sizeof(padded), record);
	assert_int_equal(tls_record_open(&direction.open, record, sizeof(padded) + TLS_RECORD_EXTRA, opened, &type), 3);
	direction_destroy(&direction);
}

static void test_unknown_suites_and_secrets_that_do_not_fit(void **state)
{
	static const struct tls_record nothing;
	struct tls_secret secret = { .length = 32 };
	struct tls_record made;

	(void)state;
	assert_int_equal(tls_record_init(&made, true, 0x1304, &secret, 0, TLS_MOST_DATA), -ENOTSUP); /* AES-128-CCM */
	assert_int_equal(tls_record_init(&made, true, TLS_AES_256_GCM_SHA384, &secret, 0, TLS_MOST_DATA), -EINVAL);
	secret.length = 0;
	assert_int_equal(tls_record_init(&made, false, TLS_AES_128_GCM_SHA256, &secret, 0, TLS_MOST_DATA), -EINVAL);
	assert_int_equal(tls_secret_update(&secret, TLS_AES_128_GCM_SHA256), -EINVAL);
	assert_memory_equal(&made, &nothing, sizeof(made));
	tls_record_destroy(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_records_of_rfc_8448),
		cmocka_unit_test(test_data_in_pieces_makes_the_same_record),
		cmocka_unit_test(test_a_place_inside_a_piece),
		cmocka_unit_test(test_a_record_is_opened_where_it_is_or_into_no_more_room_than_it_needs),
		cmocka_unit_test(test_every_changed_byte_is_noticed),
		cmocka_unit_test(test_a_record_is_good_for_its_number_and_secret_only),
		cmocka_unit_test(test_no_number_comes_twice),
		cmocka_unit_test(test_nothing_more_after_a_key_update_that_failed),
		cmocka_unit_test(test_the_type_is_in_front_of_the_padding),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_what_is_too_short_for_a_tag),
		cmocka_unit_test(test_more_data_than_agreed_upon),
		cmocka_unit_test(test_unknown_suites_and_secrets_that_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
