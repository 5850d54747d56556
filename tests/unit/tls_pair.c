/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/tls_pair.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "tests/unit/unit.h"

const char *const pair_suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", NULL };

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
	assert_int_equal(tls_watch_start(&end->watch, end->ssl), 0);
}

void pair_pass(struct end *from, struct end *to)
{
	uint8_t bytes[20000];
	int length;

	while ((length = BIO_read(SSL_get_wbio(from->ssl), bytes, sizeof(bytes))) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to->ssl), bytes, length), length);
}

void pair_assert_silent(struct end *end)
{
	uint8_t byte;

	assert_int_equal(SSL_read(end->ssl, &byte, 1), -1);
	assert_int_equal(SSL_get_error(end->ssl, -1), SSL_ERROR_WANT_READ);
}

void pair_open(struct pair *pair, const char *suite, size_t tickets)
{
	int version = suite ? TLS1_3_VERSION : TLS1_2_VERSION;

	pair->server_context = SSL_CTX_new(TLS_server_method());
	pair->client_context = SSL_CTX_new(TLS_client_method());
	set_certificate(pair->server_context);
	assert_int_equal(SSL_CTX_set_num_tickets(pair->server_context, tickets), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(pair->server_context, version), 1);
	if (suite)
		assert_int_equal(SSL_CTX_set_ciphersuites(pair->server_context, suite), 1);
	assert_int_equal(tls_watch_allow(pair->server_context), 0);
	assert_int_equal(tls_watch_allow(pair->client_context), 0);
	end_init(&pair->server, pair->server_context);
	end_init(&pair->client, pair->client_context);
	SSL_set_accept_state(pair->server.ssl);
	SSL_set_connect_state(pair->client.ssl);
	for (int i = 0; i < 3; i++) {
		SSL_do_handshake(pair->client.ssl);
		pair_pass(&pair->client, &pair->server);
		SSL_do_handshake(pair->server.ssl);
		pair_pass(&pair->server, &pair->client);
	}
	assert_true(SSL_is_init_finished(pair->client.ssl) && SSL_is_init_finished(pair->server.ssl));
	pair_assert_silent(&pair->client);
}

void pair_close(struct pair *pair)
{
	tls_watch_forget(&pair->server.watch);
	tls_watch_forget(&pair->client.watch);
	SSL_free(pair->server.ssl);
	SSL_free(pair->client.ssl);
	SSL_CTX_free(pair->server_context);
	SSL_CTX_free(pair->client_context);
}

void pair_say(struct end *from, struct end *to, const char *text)
{
	char heard[64] = "";
	int length = (int)strlen(text);

	assert_int_equal(SSL_write(from->ssl, text, length), length);
	pair_pass(from, to);
	assert_int_equal(SSL_read(to->ssl, heard, sizeof(heard)), length);
	assert_string_equal(heard, text);
}
