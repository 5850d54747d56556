/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_watch.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

/* --- Records */

void tls_watch_count(struct tls_stream *stream, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length) {
		size_t part = stream->left ? stream->left : TLS_HEADER - stream->have;

		if (part > length)
			part = length;
		if (stream->left) {
			stream->left -= part;
		} else {
			memcpy(stream->header + stream->have, at, part);
			stream->have += part;
		}
		if (stream->have == TLS_HEADER) {
			stream->left = (size_t)stream->header[3] << 8 | stream->header[4];
			stream->have = 0;
			stream->records++;
		}
		at += part;
		length -= part;
	}
}

size_t tls_watch_missing(const struct tls_stream *stream)
{
	return stream->left ? stream->left : stream->have ? TLS_HEADER - stream->have : 0;
}

/* --- OpenSSL */

static int watch_index = -1; /* of an SSL's struct tls_watch */

/* The callback of OpenSSL, for a line "LABEL RANDOM SECRET": SECRET is in use from the next record on. */
static void keep_secret(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls_watch *watch = SSL_get_ex_data(ssl, watch_index);
	bool of_server = strncmp(line, server, sizeof(server) - 1) == 0;
	struct tls_stream *stream;
	struct tls_secret *secret;

	if (!watch || (!of_server && strncmp(line, client, sizeof(client) - 1) != 0))
		return;
	stream = of_server == (SSL_is_server(ssl) != 0) ? &watch->out : &watch->in;
	secret = &stream->secret;
	if (!OPENSSL_hexstr2buf_ex(secret->bytes, sizeof(secret->bytes), &secret->length, strrchr(line, ' ') + 1, '\0'))
		secret->length = 0;
	stream->records = 0;
}

/* The callback of a BIO.  One in memory is also written to by who receives, and read by who sends. */
static long count_bytes(BIO *bio, int operation, const char *bytes, size_t length, int number, long argument, int result,
			size_t *processed)
{
	struct tls_watch *watch = (struct tls_watch *)(void *)BIO_get_callback_arg(bio);

	(void)length, (void)number, (void)argument;
	if (result > 0 && operation == (BIO_CB_READ | BIO_CB_RETURN) && bio == SSL_get_rbio(watch->ssl))
		tls_watch_count(&watch->in, bytes, *processed);
	if (result > 0 && operation == (BIO_CB_WRITE | BIO_CB_RETURN) && bio == SSL_get_wbio(watch->ssl))
		tls_watch_count(&watch->out, bytes, *processed);
	return result;
}

/* The callback for messages of the handshake, and what else there is: after a key update the secrets aren't the current ones. */
static void look_at_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *watch)
{
	(void)sent, (void)version, (void)ssl;
	if (type == SSL3_RT_HANDSHAKE && length && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		tls_watch_forget(watch);
}

int tls_watch_allow(struct ssl_ctx_st *context)
{
	if (watch_index < 0)
		watch_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (watch_index < 0)
		return -ENOMEM;
	SSL_CTX_set_keylog_callback(context, keep_secret);
	return 0;
}

static void watch_bio(BIO *bio, struct tls_watch *watch)
{
	BIO_set_callback_ex(bio, watch ? count_bytes : NULL);
	BIO_set_callback_arg(bio, (char *)watch);
}

int tls_watch_start(struct tls_watch *watch, struct ssl_st *ssl)
{
	if (!SSL_set_ex_data(ssl, watch_index, watch))
		return -ENOMEM;
	*watch = (struct tls_watch){ .ssl = ssl };
	watch_bio(SSL_get_rbio(ssl), watch);
	watch_bio(SSL_get_wbio(ssl), watch);
	SSL_set_msg_callback(ssl, look_at_message);
	SSL_set_msg_callback_arg(ssl, watch);
	return 0;
}

bool tls_watch_is_ready(const struct tls_watch *watch)
{
	return watch->in.secret.length && watch->out.secret.length;
}

unsigned tls_watch_suite(const struct tls_watch *watch)
{
	return SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(watch->ssl));
}

void tls_watch_forget(struct tls_watch *watch)
{
	if (!watch->ssl)
		return;
	SSL_set_ex_data(watch->ssl, watch_index, NULL);
	watch_bio(SSL_get_rbio(watch->ssl), NULL);
	watch_bio(SSL_get_wbio(watch->ssl), NULL);
	SSL_set_msg_callback(watch->ssl, NULL);
	OPENSSL_cleanse(watch, sizeof(*watch));
}
