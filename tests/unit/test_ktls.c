/* SPDX-License-Identifier: BSD-2-Clause */
/* What kernel TLS needs to know: that it is right shows in what OpenSSL, at the other end, makes of it. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/ktls.h"
#include "tests/unit/unit.h"

#define TAG 16
#define NONCE 12
#define DATA 23

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
		struct ktls_stream stream = { .length = 32, .records = UINT64_C(0x0102030405060708) };
		union ktls_crypto crypto;
		uint8_t key[16], nonce[NONCE];

		from_hex(stream.secret, 32, vectors[i].secret);
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
	struct ktls_stream stream = { .length = 32 };
	union ktls_crypto crypto;

	(void)state;
	assert_int_equal(ktls_crypto(&crypto, 0x1304, &stream), -ENOTSUP); /* AES-128-CCM */
	assert_int_equal(ktls_crypto(&crypto, 0xc02f, &stream), -ENOTSUP); /* of TLS 1.2 */
	assert_int_equal(ktls_crypto(&crypto, 0x1302, &stream), -EINVAL);
	stream.length = 48;
	assert_int_equal(ktls_crypto(&crypto, 0x1301, &stream), -EINVAL);
	assert_int_equal(ktls_crypto(&crypto, 0x1302, &stream), sizeof(crypto.aes_gcm_256));
	stream.length = 0;
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
		struct ktls_stream counted = { .records = 7 };

		for (size_t at = 0; at < sizeof(stream); at += piece) {
			size_t end = at + piece < sizeof(stream) ? at + piece : sizeof(stream);

			ktls_count(&counted, stream + at, end - at);
			assert_int_equal(ktls_missing(&counted), missing[end - 1]);
		}
		assert_int_equal(counted.records, 10);
	}
}

/* --- With OpenSSL */

struct end {
	SSL *ssl;
	struct ktls ktls;
};

struct pair {
	SSL_CTX *server_context, *client_context;
	struct end server, client;
};

static void set_certificate(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	assert_non_null(key);
	assert_non_null(certificate);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void end_init(struct end *end, SSL_CTX *context)
{
	end->ssl = SSL_new(context);
	assert_non_null(end->ssl);
	SSL_set_bio(end->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(end->ssl), -1);
	assert_int_equal(ktls_watch(&end->ktls, end->ssl), 0);
}

/* What FROM has sent reaches TO. */
static void pass(struct end *from, struct end *to)
{
	uint8_t bytes[20000];
	int length;

	while ((length = BIO_read(SSL_get_wbio(from->ssl), bytes, sizeof(bytes))) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to->ssl), bytes, length), length);
}

/* Anything but data is dealt with on the way. */
static void assert_silent(struct end *end)
{
	uint8_t byte;

	assert_int_equal(SSL_read(end->ssl, &byte, 1), -1);
	assert_int_equal(SSL_get_error(end->ssl, -1), SSL_ERROR_WANT_READ);
}

static void pair_open(struct pair *pair, const char *suite, size_t tickets)
{
	int version = suite ? TLS1_3_VERSION : TLS1_2_VERSION;

	pair->server_context = SSL_CTX_new(TLS_server_method());
	pair->client_context = SSL_CTX_new(TLS_client_method());
	set_certificate(pair->server_context);
	assert_int_equal(SSL_CTX_set_num_tickets(pair->server_context, tickets), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(pair->server_context, version), 1);
	if (suite)
		assert_int_equal(SSL_CTX_set_ciphersuites(pair->server_context, suite), 1);
	assert_int_equal(ktls_allow(pair->server_context), 0);
	assert_int_equal(ktls_allow(pair->client_context), 0);
	end_init(&pair->server, pair->server_context);
	end_init(&pair->client, pair->client_context);
	SSL_set_accept_state(pair->server.ssl);
	SSL_set_connect_state(pair->client.ssl);
	for (int i = 0; i < 3; i++) {
		SSL_do_handshake(pair->client.ssl);
		pass(&pair->client, &pair->server);
		SSL_do_handshake(pair->server.ssl);
		pass(&pair->server, &pair->client);
	}
	assert_true(SSL_is_init_finished(pair->client.ssl) && SSL_is_init_finished(pair->server.ssl));
	assert_silent(&pair->client);
}

static void pair_close(struct pair *pair)
{
	SSL_free(pair->server.ssl);
	SSL_free(pair->client.ssl);
	SSL_CTX_free(pair->server_context);
	SSL_CTX_free(pair->client_context);
}

static void say(struct end *from, struct end *to, const char *text)
{
	char heard[64] = "";
	int length = (int)strlen(text);

	assert_int_equal(SSL_write(from->ssl, text, length), length);
	pass(from, to);
	assert_int_equal(SSL_read(to->ssl, heard, sizeof(heard)), length);
	assert_string_equal(heard, text);
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
static void run_cipher(struct ktls_stream *stream, const SSL *ssl, bool seal, uint8_t *bytes, char *text, size_t length)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	const size_t inner = length + 1, body = inner + TAG;
	const uint8_t header[KTLS_HEADER] = { DATA, 3, 3, (uint8_t)(body >> 8), (uint8_t)body };
	uint8_t plain[64], *tag = bytes + KTLS_HEADER + inner;
	union ktls_crypto crypto;
	struct cipher cipher;
	int done;

	assert_true(ktls_crypto(&crypto, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)), stream) > 0);
	stream->records++;
	cipher = cipher_of(&crypto);
	memcpy(plain, text, length);
	plain[length] = DATA;
	if (seal)
		memcpy(bytes, header, KTLS_HEADER);
	assert_memory_equal(bytes, header, KTLS_HEADER);
	assert_int_equal(EVP_CipherInit_ex(context, cipher.cipher, NULL, cipher.key, cipher.nonce, seal), 1);
	assert_int_equal(EVP_CipherUpdate(context, NULL, &done, header, KTLS_HEADER), 1);
	assert_int_equal(EVP_CipherUpdate(context, seal ? bytes + KTLS_HEADER : plain, &done, seal ? plain : bytes + KTLS_HEADER,
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
	uint8_t bytes[KTLS_HEADER + 64 + TAG];
	char heard[16];

	assert_true(ktls_is_ready(&ours->ktls));
	assert_int_equal(ktls_missing(&ours->ktls.in), 0);
	assert_int_equal(ktls_missing(&ours->ktls.out), 0);
	for (int i = 0; i < 3; i++) {
		char said[] = "by our own keys";

		run_cipher(&ours->ktls.out, ours->ssl, true, bytes, said, 15);
		assert_int_equal(BIO_write(SSL_get_rbio(theirs->ssl), bytes, KTLS_HEADER + 16 + TAG), KTLS_HEADER + 16 + TAG);
		assert_int_equal(SSL_read(theirs->ssl, heard, sizeof(heard)), 15);
		assert_memory_equal(heard, "by our own keys", 15);

		assert_int_equal(SSL_write(theirs->ssl, "an answer", 9), 9);
		assert_int_equal(BIO_read(SSL_get_wbio(theirs->ssl), bytes, sizeof(bytes)), KTLS_HEADER + 10 + TAG);
		memset(heard, 0, sizeof(heard));
		run_cipher(&ours->ktls.in, ours->ssl, false, bytes, heard, 9);
		assert_string_equal(heard, "an answer");
	}
}

static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" };

static void test_either_end_can_be_taken_over_after_any_number_of_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(suites) * 2 * 2 * 4; i++) {
		struct pair pair;
		struct end *ours = i & 1 ? &pair.server : &pair.client;
		struct end *theirs = i & 1 ? &pair.client : &pair.server;

		/* Tickets are records, too. */
		pair_open(&pair, suites[i / 16], i & 2 ? 2 : 0);
		for (size_t spoken = 0; spoken < i / 4 % 4; spoken++) {
			say(&pair.client, &pair.server, "something");
			say(&pair.client, &pair.server, "more of it");
			say(&pair.server, &pair.client, "an answer");
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
	pair_open(&pair, suites[0], 0);
	assert_int_equal(SSL_write(pair.client.ssl, "whole", 5), 5);
	assert_int_equal(BIO_read(SSL_get_wbio(pair.client.ssl), bytes, sizeof(bytes)), KTLS_HEADER + 6 + TAG);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes, 3);
	assert_silent(&pair.server);
	assert_int_equal(ktls_missing(&pair.server.ktls.in), 2);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes + 3, 12);
	assert_silent(&pair.server);
	assert_int_equal(ktls_missing(&pair.server.ktls.in), KTLS_HEADER + 6 + TAG - 15);
	BIO_write(SSL_get_rbio(pair.server.ssl), bytes + 15, KTLS_HEADER + 6 + TAG - 15);
	assert_int_equal(SSL_read(pair.server.ssl, heard, sizeof(heard)), 5);
	take_over(&pair.server, &pair.client);
	pair_close(&pair);
}

/* The first secrets are over, and so is what was kept of them. */
static void test_a_key_update_leaves_all_to_openssl(void **state)
{
	static const struct ktls nothing;

	(void)state;
	for (int by_client = 0; by_client < 2; by_client++) {
		struct pair pair;
		struct end *updated, *other;

		pair_open(&pair, suites[1], 0);
		updated = by_client ? &pair.client : &pair.server;
		other = by_client ? &pair.server : &pair.client;
		assert_true(ktls_is_ready(&updated->ktls) && ktls_is_ready(&other->ktls));
		assert_int_equal(SSL_key_update(updated->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		say(updated, other, "with a new key");
		assert_memory_equal(&updated->ktls, &nothing, sizeof(nothing));
		assert_memory_equal(&other->ktls, &nothing, sizeof(nothing));
		say(other, updated, "with the old one");
		pair_close(&pair);
	}
}

static void test_what_is_not_watched_or_older_keeps_no_secrets(void **state)
{
	static const struct ktls nothing;
	struct pair pair;

	(void)state;
	pair_open(&pair, NULL, 0);
	assert_false(ktls_is_ready(&pair.server.ktls));
	assert_int_equal(pair.server.ktls.in.length + pair.server.ktls.out.length, 0);
	pair_close(&pair);

	pair_open(&pair, suites[0], 0);
	ktls_forget(&pair.server.ktls);
	say(&pair.client, &pair.server, "nobody counts");
	assert_memory_equal(&pair.server.ktls, &nothing, sizeof(nothing));
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
