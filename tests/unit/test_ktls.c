/* SPDX-License-Identifier: BSD-2-Clause */
/* What kernel TLS needs to know: that it is right shows in what OpenSSL, at the other end, makes of it. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "common/ktls.h"
#include "tests/unit/tls_pair.h"
#include "tests/unit/unit.h"

#define TAG TLS_TAG
#define NONCE TLS_IV
#define DATA TLS_DATA

/* --- A secret alone */

static void from_hex(uint8_t *bytes, size_t size, const char *hex)
{
	size_t length;

	assert_int_equal(OPENSSL_hexstr2buf_ex(bytes, size, &length, hex, '\0'), 1);
	assert_int_equal(length, size);
}

struct vector {
	const char *secret, *key, *nonce;
};

/* RFC 8448, section 3: "derive write traffic keys for application data" of the server, and of the client. */
static const struct vector vectors[] = {
	{ "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
	  "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984" },
	{ "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
	  "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9" },
};

static void test_the_keys_of_rfc_8448(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		struct tls_stream stream = { .secret = { .length = 32 }, .records = UINT64_C(0x0102030405060708) };
		union ktls_crypto crypto;
		uint8_t key[16], nonce[NONCE];

		from_hex(stream.secret.bytes, 32, vectors[i].secret);
		from_hex(key, sizeof(key), vectors[i].key);
		from_hex(nonce, sizeof(nonce), vectors[i].nonce);
		assert_int_equal(ktls_crypto(&crypto, 0x1301, &stream), sizeof(crypto.aes_gcm_128));
		assert_int_equal(crypto.info.version, TLS_1_3_VERSION);
		assert_int_equal(crypto.info.cipher_type, TLS_CIPHER_AES_GCM_128);
		assert_memory_equal(crypto.aes_gcm_128.key, key, sizeof(key));
		assert_memory_equal(crypto.aes_gcm_128.salt, nonce, 4);
		assert_memory_equal(crypto.aes_gcm_128.iv, nonce + 4, 8);
		assert_memory_equal(crypto.aes_gcm_128.rec_seq, "\1\2\3\4\5\6\7\10", 8);
	}
}

static void test_what_the_kernel_cannot_do_is_refused(void **state)
{
	struct tls_stream stream = { .secret = { .length = 32 } };
	union ktls_crypto crypto;

	(void)state;
	assert_int_equal(ktls_crypto(&crypto, 0x1304, &stream), -ENOTSUP); /* AES-128-CCM */
	assert_int_equal(ktls_crypto(&crypto, 0xc02f, &stream), -ENOTSUP); /* of TLS 1.2 */
	assert_int_equal(ktls_crypto(&crypto, 0x1302, &stream), -EINVAL);
	stream.secret.length = 48;
	assert_int_equal(ktls_crypto(&crypto, 0x1301, &stream), -EINVAL);
	assert_int_equal(ktls_crypto(&crypto, 0x1302, &stream), sizeof(crypto.aes_gcm_256));
	stream.secret.length = 0;
	assert_int_equal(ktls_crypto(&crypto, 0x1303, &stream), -EINVAL);
}

/* --- Records that pass by */

static void test_records_are_counted_in_pieces_of_any_size(void **state)
{
	static const uint8_t stream[] = { 23, 3, 3, 0, 3, 'a', 'b', 'c', 23, 3, 3, 0, 0, 21, 3, 3, 1, 2 };
	/* What is missing after each byte: the rest of a header, then of its record. */
	static const size_t missing[] = { 4, 3, 2, 1, 3, 2, 1, 0, 4, 3, 2, 1, 0, 4, 3, 2, 1, 258 };

	(void)state;
	for (size_t piece = 1; piece <= sizeof(stream); piece++) {
		struct tls_stream counted = { .records = 7 };

		for (size_t at = 0; at < sizeof(stream); at += piece) {
			size_t end = at + piece < sizeof(stream) ? at + piece : sizeof(stream);

			tls_watch_count(&counted, stream + at, end - at);
			assert_int_equal(tls_watch_missing(&counted), missing[end - 1]);
		}
		assert_int_equal(counted.records, 10);
	}
}

/* --- In the kernel's place */

struct cipher {
	const EVP_CIPHER *cipher;
	uint8_t *key, *number;
	uint8_t nonce[NONCE];
};

/* The kernel's view of CRYPTO. */
static struct cipher cipher_of(union ktls_crypto *crypto)
{
	struct cipher cipher = { .cipher = NULL };

	switch (crypto->info.cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		cipher = (struct cipher){ EVP_aes_128_gcm(), crypto->aes_gcm_128.key, crypto->aes_gcm_128.rec_seq, { 0 } };
		memcpy(cipher.nonce, crypto->aes_gcm_128.salt, 4);
		memcpy(cipher.nonce + 4, crypto->aes_gcm_128.iv, 8);
		break;
	case TLS_CIPHER_AES_GCM_256:
		cipher = (struct cipher){ EVP_aes_256_gcm(), crypto->aes_gcm_256.key, crypto->aes_gcm_256.rec_seq, { 0 } };
		memcpy(cipher.nonce, crypto->aes_gcm_256.salt, 4);
		memcpy(cipher.nonce + 4, crypto->aes_gcm_256.iv, 8);
		break;
	case TLS_CIPHER_CHACHA20_POLY1305:
		cipher = (struct cipher){ EVP_chacha20_poly1305(), crypto->chacha20_poly1305.key,
					  crypto->chacha20_poly1305.rec_seq, { 0 } };
		memcpy(cipher.nonce, crypto->chacha20_poly1305.iv, NONCE);
		break;
	default:
		fail_msg("cipher %d", crypto->info.cipher_type);
	}
	for (int i = 0; i < 8; i++)
		cipher.nonce[NONCE - 8 + i] ^= cipher.number[i];
	return cipher;
}

/* One record: SEAL puts LENGTH bytes of TEXT and their type into BYTES, else the other way round. */
static void run_cipher(struct tls_stream *stream, const SSL *ssl, bool seal, uint8_t *bytes, char *text, size_t length)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	const size_t inner = length + 1, body = inner + TAG;
	const uint8_t header[TLS_HEADER] = { DATA, 3, 3, (uint8_t)(body >> 8), (uint8_t)body };
	uint8_t plain[64], *tag = bytes + TLS_HEADER + inner;
	union ktls_crypto crypto;
	struct cipher cipher;
	int done;

	assert_true(ktls_crypto(&crypto, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)), stream) > 0);
	stream->records++;
	cipher = cipher_of(&crypto);
	memcpy(plain, text, length);
	plain[length] = DATA;
	if (seal)
		memcpy(bytes, header, TLS_HEADER);
	assert_memory_equal(bytes, header, TLS_HEADER);
	assert_int_equal(EVP_CipherInit_ex(context, cipher.cipher, NULL, cipher.key, cipher.nonce, seal), 1);
	assert_int_equal(EVP_CipherUpdate(context, NULL, &done, header, TLS_HEADER), 1);
	assert_int_equal(EVP_CipherUpdate(context, seal ? bytes + TLS_HEADER : plain, &done, seal ? plain : bytes + TLS_HEADER,
					  (int)inner), 1);
	if (!seal)
		assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG, tag), 1);
	assert_int_equal(EVP_CipherFinal_ex(context, plain + inner, &done), 1);
	if (seal)
		assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG, tag), 1);
	assert_int_equal(plain[length], DATA);
	memcpy(text, plain, length);
	EVP_CIPHER_CTX_free(context);
}

/* From here on OURS does without OpenSSL, and THEIRS doesn't notice. */
static void take_over(struct end *ours, struct end *theirs)
{
	uint8_t bytes[TLS_HEADER + 64 + TAG];
	char heard[16];

	assert_true(tls_watch_is_ready(&ours->watch));
	assert_int_equal(tls_watch_missing(&ours->watch.in), 0);
	assert_int_equal(tls_watch_missing(&ours->watch.out), 0);
	for (int i = 0; i < 3; i++) {
		char said[] = "by our own keys";

		run_cipher(&ours->watch.out, ours->ssl, true, bytes, said, 15);
		assert_int_equal(BIO_write(SSL_get_rbio(theirs->ssl), bytes, TLS_HEADER + 16 + TAG), TLS_HEADER + 16 + TAG);
		assert_int_equal(SSL_read(theirs->ssl, heard, sizeof(heard)), 15);
		assert_memory_equal(heard, "by our own keys", 15);

		assert_int_equal(SSL_write(theirs->ssl, "an answer", 9), 9);
		assert_int_equal(BIO_read(SSL_get_wbio(theirs->ssl), bytes, sizeof(bytes)), TLS_HEADER + 10 + TAG);
		memset(heard, 0, sizeof(heard));
		run_cipher(&ours->watch.in, ours->ssl, false, bytes, heard, 9);
		assert_string_equal(heard, "an answer");
	}
}

static void test_either_end_can_be_taken_over_after_any_number_of_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3 * 2 * 2 * 4; i++) {
		struct pair pair;
		struct end *ours = i & 1 ? &pair.server : &pair.client;
		struct end *theirs = i & 1 ? &pair.client : &pair.server;

		/* Tickets are records, too. */
		pair_open(&pair, pair_suites[i / 16], i & 2 ? 2 : 0);
		for (size_t spoken = 0; spoken < i / 4 % 4; spoken++) {
			pair_say(&pair.client, &pair.server, "something");
			pair_say(&pair.client, &pair.server, "more of it");
			pair_say(&pair.server, &pair.client, "an answer");
		}
		take_over(ours, theirs);
		pair_close(&pair);
	}
}

static void test_half_a_record_is_no_boundary(void **state)
{
	struct pair pair;
	uint8_t bytes[64];
	char heard[16];

	(void)state;
	pair_open(&pair, pair_suites[0], 0);
	assert_int_equal(SSL_write(pair.client.ssl, "whole", 5), 5);
	assert_int_equal(BIO_read(SSL_get_wbio(pair.client.ssl), bytes, sizeof(bytes)), TLS_HEADER + 6 + TAG);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes, 3);
	pair_assert_silent(&pair.server);
	assert_int_equal(tls_watch_missing(&pair.server.watch.in), 2);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes + 3, 12);
	pair_assert_silent(&pair.server);
	assert_int_equal(tls_watch_missing(&pair.server.watch.in), TLS_HEADER + 6 + TAG - 15);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes + 15, TLS_HEADER + 6 + TAG - 15);
	assert_int_equal(SSL_read(pair.server.ssl, heard, sizeof(heard)), 5);
	take_over(&pair.server, &pair.client);
	pair_close(&pair);
}

/* The first secrets are over, and so is what was kept of them. */
static void test_a_key_update_leaves_all_to_openssl(void **state)
{
	static const struct tls_watch nothing;

	(void)state;
	for (int by_client = 0; by_client < 2; by_client++) {
		struct pair pair;
		struct end *updated, *other;

		pair_open(&pair, pair_suites[1], 0);
		updated = by_client ? &pair.client : &pair.server;
		other = by_client ? &pair.server : &pair.client;
		assert_true(tls_watch_is_ready(&updated->watch) && tls_watch_is_ready(&other->watch));
		assert_int_equal(SSL_key_update(updated->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		pair_say(updated, other, "with a new key");
		assert_memory_equal(&updated->watch, &nothing, sizeof(nothing));
		assert_memory_equal(&other->watch, &nothing, sizeof(nothing));
		pair_say(other, updated, "with the old one");
		pair_close(&pair);
	}
}

static void test_what_is_not_watched_or_older_keeps_no_secrets(void **state)
{
	static const struct tls_watch nothing;
	struct pair pair;

	(void)state;
	pair_open(&pair, NULL, 0);
	assert_false(tls_watch_is_ready(&pair.server.watch));
	assert_int_equal(pair.server.watch.in.secret.length + pair.server.watch.out.secret.length, 0);
	pair_close(&pair);

	pair_open(&pair, pair_suites[0], 0);
	tls_watch_forget(&pair.server.watch);
	pair_say(&pair.client, &pair.server, "nobody counts");
	assert_memory_equal(&pair.server.watch, &nothing, sizeof(nothing));
	pair_close(&pair);
}

static void test_mature_kernels(void **state)
{
	(void)state;
	assert_true(ktls_is_mature("6.5.0"));
	assert_true(ktls_is_mature("6.18.44"));
	assert_true(ktls_is_mature("7.0-rc1"));
	assert_true(ktls_is_mature("10.1.2-3-cloud-amd64"));
	assert_false(ktls_is_mature("6.1.0-56-cloud-amd64"));
	assert_false(ktls_is_mature("6.4.16"));
	assert_false(ktls_is_mature("5.15.0"));
	assert_false(ktls_is_mature("something else"));
}

static void test_a_unix_socket_has_none(void **state)
{
	int sockets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(ktls_attach(sockets[0]), -EOPNOTSUPP);
	close(sockets[0]);
	close(sockets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_keys_of_rfc_8448),
		cmocka_unit_test(test_what_the_kernel_cannot_do_is_refused),
		cmocka_unit_test(test_records_are_counted_in_pieces_of_any_size),
		cmocka_unit_test(test_either_end_can_be_taken_over_after_any_number_of_records),
		cmocka_unit_test(test_half_a_record_is_no_boundary),
		cmocka_unit_test(test_a_key_update_leaves_all_to_openssl),
		cmocka_unit_test(test_what_is_not_watched_or_older_keeps_no_secrets),
		cmocka_unit_test(test_mature_kernels),
		cmocka_unit_test(test_a_unix_socket_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
