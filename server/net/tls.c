/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <platter/driver.h>

#include "common/ktls.h"
#include "common/log.h"
#include "common/tls.h"
#include "server/block/buffer.h"

/* The largest record's data, and what it adds to that, even if the client wants records of 512 bytes. */
#define RECORD (16u << 10)
#define RECORD_EXTRA 1024u
/*
 * Of many small replies so much is made at once: the client works on it while the next part is made, which has half as much
 * again of them done in the same time.  A large one isn't taken apart: each send has its price.
 */
#define PART (64u << 10)
/* An idle connection's: a small request in a record. */
#define SMALL 1024

struct tls {
	SSL *ssl;                 /* NULL: the kernel does it... */
	const char *version, *cipher; /* ...and this is what, OpenSSL's constants; NULL before the handshake is over */
	bool prepared;            /* for the kernel, as far as it can... */
	struct ktls ktls;         /* ...and what that needs to know */
	struct buffers *buffers;
	/* Received and not yet read: in `large`, or in `small`. */
	struct buffer *large;
	size_t start, end;
	size_t last;              /* what the last receive brought */
	/* To be sent; its buffer goes when it has been. */
	struct buffer *out;
	size_t sent, length;
	char reason[128];
	char identity[TLS_MOST_IDENTITY];
	uint8_t small[SMALL];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SSL_CTX *current;
static struct tls_files configured;
static bool kernel_allowed;
static BIO_METHOD *method;

/* --- Between OpenSSL and the buffers */

static uint8_t *received(struct tls *tls)
{
	return tls->large ? tls->large->memory : tls->small;
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
	memcpy(bytes, received(tls) + tls->start, length);
	tls->start += length;
	return (int)length;
}

static size_t out_room(const struct tls *tls)
{
	return tls->out ? buffer_class_size(tls->out->class) - tls->length : 0;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);
	size_t room = out_room(tls);

	BIO_clear_retry_flags(bio);
	if (room == 0) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (room > (size_t)size)
		room = (size_t)size;
	memcpy(tls->out->memory + tls->length, bytes, room);
	tls->length += room;
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

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "platter");

	if (made && BIO_meth_set_read(made, bio_read) && BIO_meth_set_write(made, bio_write) &&
	    BIO_meth_set_ctrl(made, bio_control) && BIO_meth_set_create(made, bio_create))
		return made;
	BIO_meth_free(made);
	return NULL;
}

/* --- Credentials */

int tls_configure(const struct tls_files *files, struct platter_error *error)
{
	SSL_CTX *context, *old;
	char reason[256];
	int result = tls_load(&context, files, reason, sizeof(reason));

	if (result < 0)
		return platter_fail(error, -result, "%s", reason);
	if (kernel_allowed && ktls_allow(context) < 0) {
		SSL_CTX_free(context);
		return platter_fail(error, ENOMEM, "no memory");
	}
	pthread_mutex_lock(&lock);
	if (!method)
		method = make_method();
	old = current;
	current = method ? context : old;
	configured = *files;
	pthread_mutex_unlock(&lock);
	SSL_CTX_free(current == context ? old : context);
	return current == context ? 0 : platter_fail(error, ENOMEM, "no memory");
}

int tls_reload(struct platter_error *error)
{
	struct tls_files files;
	int result;

	pthread_mutex_lock(&lock);
	files = configured;
	pthread_mutex_unlock(&lock);
	if (!files.certificates && !files.psk)
		return platter_fail(error, ENOENT, "TLS isn't used: the server was started without --tls-certificates and --tls-psk");
	result = tls_configure(&files, error);
	if (result == 0)
		log_notice("TLS: certificates and keys read again: new connections use them");
	return result;
}

void tls_allow_kernel(bool allowed)
{
	kernel_allowed = allowed;
}

bool tls_is_configured(void)
{
	bool is;

	pthread_mutex_lock(&lock);
	is = current;
	pthread_mutex_unlock(&lock);
	return is;
}

void tls_forget(void)
{
	SSL_CTX_free(current);
	current = NULL;
	BIO_meth_free(method);
	method = NULL;
}

/* --- A connection */

struct tls *tls_new(struct buffers *buffers)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = NULL;

	if (!tls)
		return NULL;
	tls->buffers = buffers;
	pthread_mutex_lock(&lock);
	if (current) {
		tls->ssl = SSL_new(current);
		bio = BIO_new(method);
	}
	pthread_mutex_unlock(&lock);
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		tls_free(tls);
		return NULL;
	}
	BIO_set_data(bio, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	ktls_forget(&tls->ktls);
	SSL_free(tls->ssl);
	buffer_put(tls->large);
	buffer_put(tls->out);
	free(tls);
}

void tls_detach(struct tls *tls)
{
	if (tls->large)
		buffer_detach(tls->large);
	if (tls->out)
		buffer_detach(tls->out);
}

void tls_attach(struct tls *tls, struct buffers *buffers)
{
	tls->buffers = buffers;
	if (tls->large)
		buffer_attach(tls->large, buffers);
	if (tls->out)
		buffer_attach(tls->out, buffers);
}

void *tls_room(struct tls *tls, size_t *size)
{
	tls->start = tls->end = 0;
	if (tls->large && tls->last <= SMALL / 2) {
		buffer_put(tls->large);
		tls->large = NULL;
	} else if (!tls->large && tls->last == SMALL) {
		/* One that filled the small buffer is a sign of more. */
		tls->large = buffer_get(tls->buffers, BUFFER_SEGMENT);
		if (!tls->large)
			return NULL;
	}
	*size = tls->large ? buffer_class_size(tls->large->class) : SMALL;
	return received(tls);
}

void tls_received(struct tls *tls, size_t bytes)
{
	tls->last = bytes;
	tls->end = bytes;
}

/* Keeps OpenSSL's reason for what has just failed. */
static void keep_reason(struct tls *tls)
{
	unsigned long error = ERR_peek_error();
	const char *why = ERR_reason_error_string(error);

	if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		why = X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
	else if (!error && SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN)
		why = "the client broke the handshake off; it may not trust our certificate, or not under the name that it uses";
	snprintf(tls->reason, sizeof(tls->reason), "TLS: %s", why ? why : "failed");
	ERR_clear_error();
}

/* A buffer for output; where there is no memory for it, that fails for want of room. */
static void need_out(struct tls *tls, enum buffer_class class)
{
	if (tls->out && tls->length == 0 && tls->out->class < class) {
		buffer_put(tls->out);
		tls->out = NULL;
	}
	if (!tls->out)
		tls->out = buffer_get(tls->buffers, class);
}

static void put_empty_out(struct tls *tls)
{
	if (tls->length)
		return;
	buffer_put(tls->out);
	tls->out = NULL;
}

bool tls_reserve(struct tls *tls)
{
	/* A chain of certificates may be long. */
	need_out(tls, BUFFER_SEGMENT);
	return tls->out;
}

bool tls_is_large(const struct tls *tls)
{
	return tls->large;
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
		return TLS_ESTABLISHED;
	}
	if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
		return TLS_WANTS_INPUT;
	keep_reason(tls);
	return TLS_FAILED;
}

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

static int64_t read_all(struct tls *tls, const struct iovec *iov, unsigned count)
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

int64_t tls_read(struct tls *tls, const struct iovec *iov, unsigned count)
{
	int64_t result;

	/* It may have to answer a key update. */
	need_out(tls, BUFFER_SMALL);
	result = read_all(tls, iov, count);
	put_empty_out(tls);
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

/* How much of IOV is made at once.  What is small lies anywhere: its first bytes are fetched while others are worked on. */
static size_t part_of(const struct iovec *iov, unsigned count)
{
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		__builtin_prefetch(iov[i].iov_base);
		length += iov[i].iov_len;
	}
	return length / count < RECORD && length > PART ? PART : length;
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
	uint8_t stage[RECORD];
	size_t part = part_of(iov, count), total = 0, offset = 0;
	unsigned at = 0;

	need_out(tls, class_for(part));
	if (!tls->out)
		return -ENOMEM;
	ERR_clear_error();
	while (total < part && out_room(tls) > RECORD_EXTRA) {
		size_t most = out_room(tls) - RECORD_EXTRA < RECORD ? out_room(tls) - RECORD_EXTRA : RECORD;
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

void tls_close(struct tls *tls, int fd)
{
	if (tls_in_kernel(tls)) {
		ktls_close(fd);
		return;
	}
	need_out(tls, BUFFER_SMALL);
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
	put_empty_out(tls);
}

size_t tls_output(const struct tls *tls, void **bytes)
{
	*bytes = tls->out ? tls->out->memory + tls->sent : NULL;
	return tls->length - tls->sent;
}

void tls_sent(struct tls *tls, size_t bytes)
{
	tls->sent += bytes;
	if (tls->sent < tls->length)
		return;
	buffer_put(tls->out);
	tls->out = NULL;
	tls->sent = tls->length = 0;
}

/* --- Into the kernel */

int tls_prepare_kernel(struct tls *tls, int fd)
{
	int result;

	if (tls->prepared || !kernel_allowed)
		return 0;
	tls->prepared = true;
	result = ktls_attach(fd);
	return result < 0 ? result : ktls_watch(&tls->ktls, tls->ssl);
}

bool tls_wants_kernel(const struct tls *tls)
{
	return ktls_is_ready(&tls->ktls);
}

size_t tls_before_kernel(const struct tls *tls)
{
	return ktls_missing(&tls->ktls.in);
}

int tls_start_kernel(struct tls *tls, int fd)
{
	int result = ktls_start(&tls->ktls, fd);

	if (result < 0)
		return result;
	SSL_free(tls->ssl);
	tls->ssl = NULL;
	buffer_put(tls->large);
	tls->large = NULL;
	return 0;
}

bool tls_in_kernel(const struct tls *tls)
{
	return !tls->ssl;
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
