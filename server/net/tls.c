/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/ktls.h"
#include "common/tls.h"
#include "common/tls_channel.h"
#include "common/tls_watch.h"
#include "server/net/tls_buffers.h"
#include "server/net/tls_openssl.h"

/*
 * Of many small replies so much is made at once: the client works on it while the next part is made, which has half as much
 * again of them done in the same time.  A large one isn't taken apart: each send has its price.
 */
#define PART (64u << 10)

/* Who makes records of data, and data of records. */
enum by { BY_OPENSSL, BY_US, BY_KERNEL };

struct tls {
	enum by by;
	SSL *ssl;                     /* NULL: it isn't by OpenSSL any more */
	const char *version, *cipher; /* OpenSSL's constants; NULL before the handshake is over */
	bool prepared;                /* for the kernel... */
	bool kernel;                  /* ...which can do it on this socket */
	struct tls_watch watch;       /* what the others need to know... */
	struct tls_channel channel;   /* ...and what it becomes if we go on */
	char reason[128];
	char identity[TLS_MOST_IDENTITY];
	struct tls_buffers buffers;
};

static bool kernel_allowed;

void tls_allow_kernel(bool allowed)
{
	kernel_allowed = allowed;
}

/* --- A connection */

struct tls *tls_new(struct buffers *buffers)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	tls->buffers.buffers = buffers;
	tls->ssl = tls_openssl_new(&tls->buffers);
	if (tls->ssl && tls_watch_start(&tls->watch, tls->ssl) == 0)
		return tls;
	tls_free(tls);
	return NULL;
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
	tls_openssl_reason(tls->ssl, tls->reason, sizeof(tls->reason));
}

bool tls_reserve(struct tls *tls)
{
	/* A chain of certificates may be long. */
	tls_buffers_need_out(&tls->buffers, BUFFER_SEGMENT);
	return tls->buffers.out;
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
		tls->kernel = tls->kernel && tls_openssl_most_data(tls->ssl) == TLS_MOST_DATA;
		return TLS_ESTABLISHED;
	}
	if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
		return TLS_WANTS_INPUT;
	keep_reason(tls);
	return TLS_FAILED;
}

/* --- Our own */

static void keep_channel_reason(struct tls *tls)
{
	const char *whose = tls->channel.theirs ? "the client's alert: " : "";

	snprintf(tls->reason, sizeof(tls->reason), "TLS: %s%s", whose, tls->channel.reason);
}

static int64_t channel_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	struct tls_buffers *buffers = &tls->buffers;
	uint8_t *received = tls_buffers_received(buffers);
	size_t used;
	int64_t result = tls_channel_read(&tls->channel, received, tls_buffers_length(buffers), &used, iov, count);

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
	size_t made, room = tls_buffers_out_room(buffers);
	int64_t result = tls_channel_write(&tls->channel, &place, part, tls_buffers_out(buffers), room, &made);

	buffers->length += made;
	if (result < 0)
		keep_channel_reason(tls);
	return result;
}

static void channel_close(struct tls *tls)
{
	struct tls_buffers *buffers = &tls->buffers;

	tls_buffers_need_out(buffers, BUFFER_SMALL);
	if (tls_buffers_out_room(buffers) >= TLS_LEAST_ROOM)
		buffers->length += tls_channel_close(&tls->channel, tls_buffers_out(buffers));
	tls_buffers_put_empty_out(buffers);
}

/* --- Anybody's */

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
	if (length + TLS_BUFFERS_EXTRA <= BUFFER_SMALL_SIZE)
		return BUFFER_SMALL;
	return length + TLS_BUFFERS_EXTRA <= BUFFER_MEDIUM_SIZE ? BUFFER_MEDIUM : BUFFER_SEGMENT;
}

int64_t tls_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	int64_t result;

	if (tls->by == BY_US)
		return channel_read(tls, iov, count);
	result = tls_openssl_read(tls->ssl, &tls->buffers, iov, count);
	if (result == -EPROTO)
		keep_reason(tls);
	return result;
}

int64_t tls_write(struct tls *tls, const struct iovec *iov, unsigned count)
{
	size_t part = part_of(iov, count);
	int64_t result;

	tls_buffers_need_out(&tls->buffers, class_for(part));
	if (!tls->buffers.out)
		return -ENOMEM;
	if (tls->by == BY_US)
		return channel_write(tls, iov, part);
	result = tls_openssl_write(tls->ssl, &tls->buffers, iov, count, part);
	if (result < 0)
		keep_reason(tls);
	return result;
}

void tls_close(struct tls *tls, int fd)
{
	switch (tls->by) {
	case BY_OPENSSL:
		tls_openssl_close(tls->ssl, &tls->buffers);
		break;
	case BY_US:
		channel_close(tls);
		break;
	case BY_KERNEL:
		ktls_close(fd);
		break;
	}
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
	int result = tls_channel_init(&tls->channel, &tls->watch, tls_openssl_most_data(tls->ssl));

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
