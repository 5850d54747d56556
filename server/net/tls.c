/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/ktls.h"
#include "common/tls.h"
#include "common/tls_channel.h"
#include "common/tls_watch.h"
#include "server/net/credentials.h"
#include "server/net/tls_buffers.h"

/* More than records add to what they hold, even if the client wants them of 512 bytes. */
#define RECORD_EXTRA 1024u
/*
 * Of many small replies so much is made at once: the client works on it while the next part is made, which has half as much
 * again of them done in the same time.  A large one isn't taken apart: each send has its price.
 */
#define PART (64u << 10)

/* Who makes records of data, and data of records. */
enum by { BY_OPENSSL, BY_US, BY_KERNEL };

struct tls {
	enum by by;
	SSL *ssl;                 /* NULL: others do it... */
	const char *version, *cipher; /* ...and this is what, OpenSSL's constants; NULL before the handshake is over */
	bool prepared;            /* for the kernel... */
	bool kernel;              /* ...which can do it on this socket */
	struct tls_watch watch;   /* what the others need to know... */
	struct tls_channel channel; /* ...and we have made of it */
	char reason[128];
	char identity[TLS_MOST_IDENTITY];
	struct tls_buffers buffers; /* last: its small buffer is at the end */
};

static bool kernel_allowed;

void tls_allow_kernel(bool allowed)
{
	kernel_allowed = allowed;
}

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

/* --- A connection */

struct tls *tls_new(struct buffers *buffers)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio;

	if (!tls)
		return NULL;
	pthread_once(&method_once, make_method);
	tls->buffers.buffers = buffers;
	tls->ssl = credentials_use();
	bio = method ? BIO_new(method) : NULL;
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		tls_free(tls);
		return NULL;
	}
	BIO_set_data(bio, &tls->buffers);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	if (tls_watch_start(&tls->watch, tls->ssl) < 0) {
		tls_free(tls);
		return NULL;
	}
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	tls_watch_forget(&tls->watch);
	tls_channel_destroy(&tls->channel);
	SSL_free(tls->ssl);
	tls_buffers_destroy(&tls->buffers);
	free(tls);
}

void tls_detach(struct tls *tls)
{
	tls_buffers_detach(&tls->buffers);
}

void tls_attach(struct tls *tls, struct buffers *buffers)
{
	tls_buffers_attach(&tls->buffers, buffers);
}

void *tls_room(struct tls *tls, size_t *size)
{
	struct tls_buffers *buffers = &tls->buffers;
	int need = tls->by == BY_US ? tls_record_size(tls_buffers_received(buffers), tls_buffers_length(buffers)) : 0;

	return tls_buffers_room(buffers, need > 0 ? (size_t)need : 0, size);
}

void tls_received(struct tls *tls, size_t bytes)
{
	tls->buffers.last = bytes;
	tls->buffers.end += bytes;
}

bool tls_is_large(const struct tls *tls)
{
	return tls->buffers.large && tls_buffers_length(&tls->buffers) == 0;
}

size_t tls_output(const struct tls *tls, void **bytes)
{
	const struct tls_buffers *buffers = &tls->buffers;

	*bytes = buffers->out ? buffers->out->memory + buffers->sent : NULL;
	return buffers->length - buffers->sent;
}

void tls_sent(struct tls *tls, size_t bytes)
{
	tls_buffers_sent(&tls->buffers, bytes);
}

/* --- The handshake */

/* Keeps OpenSSL's reason for what has just failed. */
static void keep_reason(struct tls *tls)
{
	unsigned long error = ERR_peek_error();
	const char *why = ERR_reason_error_string(error);

	if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		why = X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
	snprintf(tls->reason, sizeof(tls->reason), "TLS: %s", why ? why : "failed");
	ERR_clear_error();
}

bool tls_reserve(struct tls *tls)
{
	/* A chain of certificates may be long. */
	tls_buffers_need_out(&tls->buffers, BUFFER_SEGMENT);
	return tls->buffers.out;
}

/* A client may have asked for smaller records, of 512 bytes or two, four or eight times that. */
static size_t most_data(const struct tls *tls)
{
	uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get_session(tls->ssl));

	return code >= TLSEXT_max_fragment_length_512 && code <= TLSEXT_max_fragment_length_4096 ? 256u << code : TLS_MOST_DATA;
}

enum tls_state tls_handshake(struct tls *tls)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(tls->ssl);
	if (result == 1) {
		tls->version = SSL_get_version(tls->ssl);
		tls->cipher = SSL_get_cipher_name(tls->ssl);
		tls_peer(tls->ssl, tls->identity, sizeof(tls->identity));
		/* The kernel's are large. */
		tls->kernel = tls->kernel && most_data(tls) == TLS_MOST_DATA;
		return TLS_ESTABLISHED;
	}
	if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
		return TLS_WANTS_INPUT;
	keep_reason(tls);
	return TLS_FAILED;
}

/* --- OpenSSL's records */

/* What a failed or empty SSL_read() means. */
static int64_t read_end(struct tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -1;
	default:
		keep_reason(tls);
		return -EPROTO;
	}
}

static int64_t read_pieces(struct tls *tls, const struct iovec *iov, unsigned count)
{
	int64_t total = 0;

	ERR_clear_error();
	for (unsigned i = 0; i < count; i++) {
		size_t done = 0;

		while (done < iov[i].iov_len) {
			int result = SSL_read(tls->ssl, (char *)iov[i].iov_base + done, (int)(iov[i].iov_len - done));

			if (result <= 0)
				return total ? total : read_end(tls, result);
			done += (size_t)result;
			total += result;
		}
	}
	return total;
}

static int64_t openssl_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	int64_t result;

	/* It may have to answer a key update. */
	tls_buffers_need_out(&tls->buffers, BUFFER_SMALL);
	result = read_pieces(tls, iov, count);
	tls_buffers_put_empty_out(&tls->buffers);
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

static int64_t openssl_write(struct tls *tls, const struct iovec *iov, unsigned count, size_t part)
{
	uint8_t stage[TLS_MOST_DATA];
	size_t total = 0, offset = 0, room;
	unsigned at = 0;

	ERR_clear_error();
	while (total < part && (room = tls_buffers_out_room(&tls->buffers)) > RECORD_EXTRA) {
		size_t most = room - RECORD_EXTRA < TLS_MOST_DATA ? room - RECORD_EXTRA : TLS_MOST_DATA;
		size_t length;
		const uint8_t *bytes;

		if (offset == iov[at].iov_len) {
			at++;
			offset = 0;
			continue;
		}
		bytes = gather(iov, count, &at, &offset, stage, most, &length);
		if (SSL_write(tls->ssl, bytes, (int)length) != (int)length) {
			keep_reason(tls);
			return -EPROTO;
		}
		total += length;
	}
	return (int64_t)total;
}

/* --- Our own */

static void keep_channel_reason(struct tls *tls)
{
	snprintf(tls->reason, sizeof(tls->reason), "TLS: %s%s", tls->channel.theirs ? "the client's alert: " : "", tls->channel.reason);
}

static int64_t channel_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	struct tls_buffers *buffers = &tls->buffers;
	size_t used;
	int64_t result = tls_channel_read(&tls->channel, tls_buffers_received(buffers), tls_buffers_length(buffers), &used, iov, count);

	buffers->start += used;
	if (tls_channel_has_answer(&tls->channel)) {
		tls_buffers_need_out(buffers, BUFFER_SMALL);
		if (tls_buffers_out_room(buffers) >= TLS_LEAST_ROOM)
			buffers->length += tls_channel_answer(&tls->channel, tls_buffers_out(buffers));
		tls_buffers_put_empty_out(buffers);
	}
	if (result == -EPROTO)
		keep_channel_reason(tls);
	return result;
}

static int64_t channel_write(struct tls *tls, const struct iovec *iov, size_t part)
{
	struct tls_buffers *buffers = &tls->buffers;
	struct tls_place place = { iov, 0 };
	size_t made;
	int64_t result = tls_channel_write(&tls->channel, &place, part, tls_buffers_out(buffers), tls_buffers_out_room(buffers), &made);

	buffers->length += made;
	if (result < 0)
		keep_channel_reason(tls);
	return result;
}

/* --- Either's */

int64_t tls_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	return tls->by == BY_US ? channel_read(tls, iov, count) : openssl_read(tls, iov, count);
}

/* How much of IOV is made at once.  What is small lies anywhere: its first bytes are fetched while others are worked on. */
static size_t part_of(const struct iovec *iov, unsigned count)
{
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		__builtin_prefetch(iov[i].iov_base);
		length += iov[i].iov_len;
	}
	return length / count < TLS_MOST_DATA && length > PART ? PART : length;
}

/* A small reply to a client that takes its time doesn't hold a large buffer. */
static enum buffer_class class_for(size_t length)
{
	if (length + RECORD_EXTRA <= BUFFER_SMALL_SIZE)
		return BUFFER_SMALL;
	return length + RECORD_EXTRA <= BUFFER_MEDIUM_SIZE ? BUFFER_MEDIUM : BUFFER_SEGMENT;
}

int64_t tls_write(struct tls *tls, const struct iovec *iov, unsigned count)
{
	size_t part = part_of(iov, count);

	tls_buffers_need_out(&tls->buffers, class_for(part));
	if (!tls->buffers.out)
		return -ENOMEM;
	return tls->by == BY_US ? channel_write(tls, iov, part) : openssl_write(tls, iov, count, part);
}

void tls_close(struct tls *tls, int fd)
{
	struct tls_buffers *buffers = &tls->buffers;

	if (tls->by == BY_KERNEL) {
		ktls_close(fd);
		return;
	}
	tls_buffers_need_out(buffers, BUFFER_SMALL);
	if (tls->by == BY_OPENSSL) {
		ERR_clear_error();
		SSL_shutdown(tls->ssl);
		ERR_clear_error();
	} else if (tls_buffers_out_room(buffers) >= TLS_LEAST_ROOM) {
		buffers->length += tls_channel_close(&tls->channel, tls_buffers_out(buffers));
	}
	tls_buffers_put_empty_out(buffers);
}

/* --- From OpenSSL to others */

int tls_prepare_kernel(struct tls *tls, int fd)
{
	int result;

	if (tls->prepared || !kernel_allowed)
		return 0;
	tls->prepared = true;
	result = ktls_attach(fd);
	tls->kernel = result == 0;
	return result;
}

bool tls_wants_handover(const struct tls *tls)
{
	return tls_watch_is_ready(&tls->watch);
}

size_t tls_before_handover(const struct tls *tls)
{
	return tls_watch_missing(&tls->watch.in);
}

bool tls_wants_kernel(const struct tls *tls)
{
	return tls->kernel;
}

/* What knows how it went so far is over, whoever goes on. */
static void end_openssl(struct tls *tls, enum by by)
{
	tls->by = by;
	tls_watch_forget(&tls->watch);
	SSL_free(tls->ssl);
	tls->ssl = NULL;
}

int tls_start_kernel(struct tls *tls, int fd)
{
	int result = ktls_start(&tls->watch, fd);

	if (result < 0)
		return result;
	end_openssl(tls, BY_KERNEL);
	tls_buffers_drop(&tls->buffers);
	return 0;
}

int tls_start_channel(struct tls *tls)
{
	int result = tls_channel_init(&tls->channel, &tls->watch, most_data(tls));

	if (result < 0)
		tls_watch_forget(&tls->watch);
	else
		end_openssl(tls, BY_US);
	return result;
}

bool tls_in_kernel(const struct tls *tls)
{
	return tls->by == BY_KERNEL;
}

/* --- For people */

const char *tls_reason(const struct tls *tls)
{
	return tls->reason;
}

const char *tls_version(const struct tls *tls)
{
	return tls->version;
}

const char *tls_cipher(const struct tls *tls)
{
	return tls->cipher;
}

const char *tls_identity(const struct tls *tls)
{
	return tls->identity;
}

char *tls_names(const struct tls *tls)
{
	return tls_certificate_names(tls->ssl);
}

const char *tls_key(const struct tls *tls)
{
	return tls_key_identity(tls->ssl);
}
