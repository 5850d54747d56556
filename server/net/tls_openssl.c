/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/tls_openssl.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/tls_channel.h"
#include "server/net/credentials.h"
#include "server/net/tls_buffers.h"

/* --- Between OpenSSL and the buffers */

static BIO_METHOD *method; /* stays: connections that other threads free use it to the end */
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *bytes, int size)
{
	struct tls_buffers *buffers = BIO_get_data(bio);
	size_t length = tls_buffers_length(buffers);

	BIO_clear_retry_flags(bio);
	if (length == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (length > (size_t)size)
		length = (size_t)size;
	memcpy(bytes, tls_buffers_received(buffers), length);
	buffers->start += length;
	return (int)length;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
	struct tls_buffers *buffers = BIO_get_data(bio);
	size_t room = tls_buffers_out_room(buffers);

	BIO_clear_retry_flags(bio);
	if (room == 0) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (room > (size_t)size)
		room = (size_t)size;
	memcpy(tls_buffers_out(buffers), bytes, room);
	buffers->length += room;
	return (int)room;
}

static long bio_control(BIO *bio, int command, long number, void *argument)
{
	(void)bio, (void)number, (void)argument;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static void make_method(void)
{
	BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "platter");

	if (made && BIO_meth_set_read(made, bio_read) && BIO_meth_set_write(made, bio_write) &&
	    BIO_meth_set_ctrl(made, bio_control) && BIO_meth_set_create(made, bio_create))
		method = made;
	else
		BIO_meth_free(made);
}

SSL *tls_openssl_new(struct tls_buffers *buffers)
{
	SSL *ssl = credentials_use();
	BIO *bio;

	pthread_once(&method_once, make_method);
	bio = ssl && method ? BIO_new(method) : NULL;
	if (!bio) {
		SSL_free(ssl);
		return NULL;
	}
	BIO_set_data(bio, buffers);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

void tls_openssl_reason(SSL *ssl, char *text, size_t size)
{
	unsigned long error = ERR_peek_error();
	const char *why = ERR_reason_error_string(error);

	if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		why = X509_verify_cert_error_string(SSL_get_verify_result(ssl));
	else if (!error && SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
		why = "the client broke the handshake off; it may not trust our certificate, or not under the name that it uses";
	snprintf(text, size, "TLS: %s", why ? why : "failed");
	ERR_clear_error();
}

size_t tls_openssl_most_data(SSL *ssl)
{
	uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));

	/* 512 bytes, or two, four or eight times that. */
	return code >= TLSEXT_max_fragment_length_512 && code <= TLSEXT_max_fragment_length_4096 ? 256u << code : TLS_MOST_DATA;
}

/* --- Data */

/* What a failed or empty SSL_read() means. */
static int64_t read_end(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -1;
	default:
		return -EPROTO;
	}
}

/* As SSL_read(), which a message that brings no data ends, too: there may be more behind it, but not for ever. */
static int read_piece(SSL *ssl, const struct tls_buffers *buffers, void *to, size_t length)
{
	for (unsigned idle = 0; idle <= TLS_MOST_IDLE; idle++) {
		int result = SSL_read(ssl, to, (int)length);

		if (result > 0 || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ || tls_buffers_length(buffers) == 0)
			return result;
	}
	ERR_raise(ERR_LIB_SSL, SSL_R_TOO_MANY_KEY_UPDATES);
	return -1;
}

static int64_t read_pieces(SSL *ssl, const struct tls_buffers *buffers, const struct iovec *iov, unsigned count)
{
	unsigned records = 0;
	int64_t total = 0;

	ERR_clear_error();
	for (unsigned i = 0; i < count; i++) {
		size_t done = 0;

		while (done < iov[i].iov_len) {
			int result = read_piece(ssl, buffers, (char *)iov[i].iov_base + done, iov[i].iov_len - done);

			if (result <= 0)
				return total ? total : read_end(ssl, result);
			done += (size_t)result;
			total += result;
			if (++records == TLS_MOST_AT_ONCE)
				return total;
		}
	}
	return total;
}

int64_t tls_openssl_read(SSL *ssl, struct tls_buffers *buffers, const struct iovec *iov, unsigned count)
{
	int64_t result;

	/* It may have to answer a key update. */
	tls_buffers_need_out(buffers, BUFFER_SMALL);
	result = read_pieces(ssl, buffers, iov, count);
	tls_buffers_put_empty_out(buffers);
	return result;
}

/* At most MOST bytes of IOV from byte *OFFSET of segment *AT on: in one piece already, or put together in STAGE. */
static const uint8_t *gather(const struct iovec *iov, unsigned count, unsigned *at, size_t *offset, uint8_t *stage, size_t most,
			     size_t *length)
{
	size_t left = iov[*at].iov_len - *offset;
	const uint8_t *bytes = (const uint8_t *)iov[*at].iov_base + *offset;

	*length = 0;
	if (left >= most) {
		*length = most;
		*offset += most;
		return bytes;
	}
	while (*at < count && *length < most) {
		left = iov[*at].iov_len - *offset;
		if (left > most - *length)
			left = most - *length;
		memcpy(stage + *length, (const uint8_t *)iov[*at].iov_base + *offset, left);
		*length += left;
		*offset += left;
		if (*offset == iov[*at].iov_len) {
			(*at)++;
			*offset = 0;
		}
	}
	return stage;
}

int64_t tls_openssl_write(SSL *ssl, struct tls_buffers *buffers, const struct iovec *iov, unsigned count,
			  size_t part)
{
	uint8_t stage[TLS_MOST_DATA];
	size_t total = 0, offset = 0, room;
	unsigned at = 0;

	ERR_clear_error();
	while (total < part && (room = tls_buffers_out_room(buffers)) > TLS_BUFFERS_EXTRA) {
		size_t most = room - TLS_BUFFERS_EXTRA < TLS_MOST_DATA ? room - TLS_BUFFERS_EXTRA : TLS_MOST_DATA;
		size_t length;
		const uint8_t *bytes;

		if (offset == iov[at].iov_len) {
			at++;
			offset = 0;
			continue;
		}
		bytes = gather(iov, count, &at, &offset, stage, most, &length);
		if (SSL_write(ssl, bytes, (int)length) != (int)length)
			return -EPROTO;
		total += length;
	}
	return (int64_t)total;
}

void tls_openssl_close(SSL *ssl, struct tls_buffers *buffers)
{
	tls_buffers_need_out(buffers, BUFFER_SMALL);
	ERR_clear_error();
	SSL_shutdown(ssl);
	ERR_clear_error();
	tls_buffers_put_empty_out(buffers);
}
