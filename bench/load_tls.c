/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench/load.h"
#include "bench/load_stream.h"

#define RECORD (16u << 10)
#define RECORD_EXTRA 256u
/* One batch; decrypted, it is still in the core's cache when it is looked at. */
#define IN_SIZE (128u << 10)
#define OUT_SIZE ((256u << 10) + 16 * RECORD_EXTRA)

/* OpenSSL sees only these buffers, so that how many records a system call takes is up to us. */
struct tls {
	SSL *ssl;
	int fd;
	size_t start, end;   /* of `in`: received, not yet read */
	size_t sent, length; /* of `out` */
	uint8_t in[IN_SIZE];
	uint8_t out[OUT_SIZE];
};

__attribute__((noreturn)) static void fail(const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	errx(1, "TLS: %s: %s", what, why ? why : "failed");
}

static int bio_read(BIO *bio, char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);
	size_t length = tls->end - tls->start;

	BIO_clear_retry_flags(bio);
	if (length == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (length > (size_t)size)
		length = (size_t)size;
	memcpy(bytes, tls->in + tls->start, length);
	tls->start += length;
	return (int)length;
}

/* encrypt() sees to it that there is room; so little as the handshake is always fits. */
static int bio_write(BIO *bio, const char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if ((size_t)size > OUT_SIZE - tls->length)
		return -1;
	memcpy(tls->out + tls->length, bytes, (size_t)size);
	tls->length += (size_t)size;
	return size;
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

static BIO_METHOD *method(void)
{
	static BIO_METHOD *made;

	if (made)
		return made;
	made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "platter-load");
	if (!made || !BIO_meth_set_read(made, bio_read) || !BIO_meth_set_write(made, bio_write) ||
	    !BIO_meth_set_ctrl(made, bio_control) || !BIO_meth_set_create(made, bio_create))
		fail("OpenSSL");
	return made;
}

static SSL_CTX *context(const char *directory)
{
	static SSL_CTX *made;
	char authority[PATH_MAX], certificate[PATH_MAX], key[PATH_MAX];

	if (made)
		return made;
	snprintf(authority, sizeof(authority), "%s/ca-cert.pem", directory);
	snprintf(certificate, sizeof(certificate), "%s/client-cert.pem", directory);
	snprintf(key, sizeof(key), "%s/client-key.pem", directory);
	made = SSL_CTX_new(TLS_client_method());
	if (!made || !SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256"))
		fail("OpenSSL");
	if (!SSL_CTX_load_verify_locations(made, authority, NULL))
		fail(authority);
	/* Some servers want one. */
	if (access(certificate, F_OK) == 0 && (!SSL_CTX_use_certificate_chain_file(made, certificate) ||
					       !SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM)))
		fail(certificate);
	SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
	return made;
}

/* A call of SSL's that didn't succeed may only have wanted more input; anything else ends the program. */
static void expect_hunger(const struct tls *tls, int result, const char *what)
{
	int error = SSL_get_error(tls->ssl, result);

	if (error == SSL_ERROR_ZERO_RETURN)
		errx(1, "the server has ended TLS");
	if (error != SSL_ERROR_WANT_READ)
		fail(what);
}

static ssize_t refill(struct tls *tls, int flags)
{
	ssize_t got = recv(tls->fd, tls->in, IN_SIZE, flags);

	tls->start = 0;
	tls->end = got > 0 ? (size_t)got : 0;
	return got;
}

static ssize_t flush(struct tls *tls)
{
	ssize_t sent = send(tls->fd, tls->out + tls->sent, tls->length - tls->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		tls->sent += (size_t)sent;
	if (tls->sent == tls->length)
		tls->sent = tls->length = 0;
	return sent;
}

static void handshake(struct tls *tls)
{
	for (;;) {
		int result = SSL_do_handshake(tls->ssl);

		if (result != 1)
			expect_hunger(tls, result, "the handshake");
		if (tls->length && flush(tls) < 0)
			err(1, "send");
		if (result == 1)
			return;
		if (refill(tls, 0) <= 0)
			errx(1, "the server hung up, or doesn't answer, during the TLS handshake");
	}
}

struct tls *tls_connect(int fd, const char *directory)
{
	struct tls *tls = load_allocate(1, sizeof(*tls));
	BIO *bio = BIO_new(method());

	tls->fd = fd;
	tls->ssl = SSL_new(context(directory));
	if (!tls->ssl || !bio)
		fail("OpenSSL");
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_connect_state(tls->ssl);
	handshake(tls);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

static bool has_input(const struct tls *tls)
{
	return tls->start < tls->end || SSL_pending(tls->ssl);
}

/* All of the input, as far as there is room for it; a record's part stays with OpenSSL. */
static size_t decrypt(struct tls *tls, void *to, size_t size)
{
	size_t total = 0;

	while (total < size && has_input(tls)) {
		int got = SSL_read(tls->ssl, (uint8_t *)to + total, (int)(size - total));

		if (got > 0)
			total += (size_t)got;
		else
			expect_hunger(tls, got, "what the server sends");
	}
	return total;
}

ssize_t tls_receive(struct tls *tls, void *to, size_t size, int flags)
{
	size_t total;

	do {
		ssize_t got = has_input(tls) ? 1 : refill(tls, flags);

		if (got <= 0)
			return got;
		total = decrypt(tls, to, size);
	} while (total == 0);
	return (ssize_t)total;
}

/* Full records of as much of VECTOR as there is room for: how many bytes. */
static size_t encrypt(struct tls *tls, const struct iovec *vector, unsigned count)
{
	uint8_t record[RECORD];
	size_t total = 0, offset = 0;

	while (count && OUT_SIZE - tls->length >= RECORD + RECORD_EXTRA) {
		size_t length = 0;

		while (count && length < RECORD) {
			size_t part = vector->iov_len - offset < RECORD - length ? vector->iov_len - offset : RECORD - length;

			memcpy(record + length, (const uint8_t *)vector->iov_base + offset, part);
			length += part;
			offset += part;
			if (offset == vector->iov_len) {
				offset = 0;
				vector++;
				count--;
			}
		}
		if (SSL_write(tls->ssl, record, (int)length) != (int)length)
			fail("what is to be sent");
		total += length;
	}
	return total;
}

ssize_t tls_send(struct tls *tls, const struct iovec *vector, unsigned count)
{
	size_t taken = tls->length ? 0 : encrypt(tls, vector, count);
	ssize_t sent = flush(tls);

	/* What was taken will be sent, though not yet. */
	return sent < 0 && !(taken && errno == EAGAIN) ? sent : (ssize_t)taken;
}

bool tls_is_behind(const struct tls *tls)
{
	return tls->length > 0;
}
