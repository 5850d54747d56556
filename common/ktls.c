/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/ktls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

/* TLS's own, on the wire. */
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE 22
#define LEVEL_WARNING 1
#define CLOSE_NOTIFY 0
#define NONCE 12

/* --- Keys */

/* RFC 8446, 7.1: HKDF-Expand-Label, of a secret and no context. */
static bool expand(void *to, size_t length, const char *digest, const char *label, const struct ktls_stream *stream)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)stream->secret, stream->length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char[]){ "tls13 " }, strlen("tls13 ")),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)(uintptr_t)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	bool done = context && EVP_KDF_derive(context, to, length, parameters) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return done;
}

struct suite {
	unsigned number;
	uint16_t cipher;
	const char *digest;
	size_t secret;
	size_t size; /* of what setsockopt() takes */
};

static const struct suite suites[] = {
	{ 0x1301, TLS_CIPHER_AES_GCM_128, "SHA256", 32, sizeof(struct tls12_crypto_info_aes_gcm_128) },
	{ 0x1302, TLS_CIPHER_AES_GCM_256, "SHA384", 48, sizeof(struct tls12_crypto_info_aes_gcm_256) },
	{ 0x1303, TLS_CIPHER_CHACHA20_POLY1305, "SHA256", 32, sizeof(struct tls12_crypto_info_chacha20_poly1305) },
};

static const struct suite *find_suite(unsigned number)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].number == number)
			return &suites[i];
	return NULL;
}

/* Where the parts of a cipher's structure are; the kernel has the beginning of a nonce, the salt, apart from the rest. */
struct parts {
	uint8_t *key, *salt, *iv, *number;
	size_t key_size, salt_size;
};

#define PARTS(crypto) { (crypto).key, (crypto).salt, (crypto).iv, (crypto).rec_seq, sizeof((crypto).key), sizeof((crypto).salt) }

static struct parts parts_of(union ktls_crypto *crypto, unsigned cipher)
{
	switch (cipher) {
	case TLS_CIPHER_AES_GCM_128:
		return (struct parts)PARTS(crypto->aes_gcm_128);
	case TLS_CIPHER_AES_GCM_256:
		return (struct parts)PARTS(crypto->aes_gcm_256);
	default:
		return (struct parts)PARTS(crypto->chacha20_poly1305);
	}
}

int ktls_crypto(union ktls_crypto *ret, unsigned suite, const struct ktls_stream *stream)
{
	const struct suite *found = find_suite(suite);
	struct parts parts;
	uint8_t nonce[NONCE];

	if (!found)
		return -ENOTSUP;
	if (stream->length != found->secret)
		return -EINVAL;
	*ret = (union ktls_crypto){ .info = { TLS_1_3_VERSION, found->cipher } };
	parts = parts_of(ret, found->cipher);
	if (!expand(parts.key, parts.key_size, found->digest, "key", stream) ||
	    !expand(nonce, sizeof(nonce), found->digest, "iv", stream))
		return -ENOMEM;
	memcpy(parts.salt, nonce, parts.salt_size);
	memcpy(parts.iv, nonce + parts.salt_size, sizeof(nonce) - parts.salt_size);
	OPENSSL_cleanse(nonce, sizeof(nonce));
	for (size_t i = 0; i < sizeof(stream->records); i++)
		parts.number[i] = (uint8_t)(stream->records >> (56 - 8 * i));
	return (int)found->size;
}

/* --- Watching OpenSSL */

void ktls_count(struct ktls_stream *stream, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length) {
		size_t part = stream->left ? stream->left : KTLS_HEADER - stream->have;

		if (part > length)
			part = length;
		if (stream->left) {
			stream->left -= part;
		} else {
			memcpy(stream->header + stream->have, at, part);
			stream->have += part;
		}
		if (stream->have == KTLS_HEADER) {
			stream->left = (size_t)stream->header[3] << 8 | stream->header[4];
			stream->have = 0;
			stream->records++;
		}
		at += part;
		length -= part;
	}
}

size_t ktls_missing(const struct ktls_stream *stream)
{
	return stream->left ? stream->left : stream->have ? KTLS_HEADER - stream->have : 0;
}

static int ktls_index = -1; /* of an SSL's struct ktls */

/* The callback of OpenSSL, for a line "LABEL RANDOM SECRET": SECRET is in use from the next record on. */
static void keep_secret(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct ktls *ktls = SSL_get_ex_data(ssl, ktls_index);
	bool of_server = strncmp(line, server, sizeof(server) - 1) == 0;
	struct ktls_stream *stream;

	if (!ktls || (!of_server && strncmp(line, client, sizeof(client) - 1) != 0))
		return;
	stream = of_server == (SSL_is_server(ssl) != 0) ? &ktls->out : &ktls->in;
	if (!OPENSSL_hexstr2buf_ex(stream->secret, sizeof(stream->secret), &stream->length, strrchr(line, ' ') + 1, '\0'))
		stream->length = 0;
	stream->records = 0;
}

/* The callback of a BIO.  One in memory is also written to by who receives, and read by who sends. */
static long count_bytes(BIO *bio, int operation, const char *bytes, size_t length, int number, long argument, int result,
			size_t *processed)
{
	struct ktls *ktls = (struct ktls *)(void *)BIO_get_callback_arg(bio);

	(void)length, (void)number, (void)argument;
	if (result > 0 && operation == (BIO_CB_READ | BIO_CB_RETURN) && bio == SSL_get_rbio(ktls->ssl))
		ktls_count(&ktls->in, bytes, *processed);
	if (result > 0 && operation == (BIO_CB_WRITE | BIO_CB_RETURN) && bio == SSL_get_wbio(ktls->ssl))
		ktls_count(&ktls->out, bytes, *processed);
	return result;
}

/* The callback for messages of the handshake, and what else there is: after a key update the secrets aren't the current ones. */
static void look_at_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *ktls)
{
	(void)sent, (void)version, (void)ssl;
	if (type == SSL3_RT_HANDSHAKE && length && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		ktls_forget(ktls);
}

int ktls_allow(struct ssl_ctx_st *context)
{
	if (ktls_index < 0)
		ktls_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (ktls_index < 0)
		return -ENOMEM;
	SSL_CTX_set_keylog_callback(context, keep_secret);
	return 0;
}

static void watch_bio(BIO *bio, struct ktls *ktls)
{
	BIO_set_callback_ex(bio, ktls ? count_bytes : NULL);
	BIO_set_callback_arg(bio, (char *)ktls);
}

int ktls_watch(struct ktls *ktls, struct ssl_st *ssl)
{
	if (!SSL_set_ex_data(ssl, ktls_index, ktls))
		return -ENOMEM;
	*ktls = (struct ktls){ .ssl = ssl };
	watch_bio(SSL_get_rbio(ssl), ktls);
	watch_bio(SSL_get_wbio(ssl), ktls);
	SSL_set_msg_callback(ssl, look_at_message);
	SSL_set_msg_callback_arg(ssl, ktls);
	return 0;
}

bool ktls_is_ready(const struct ktls *ktls)
{
	return ktls->in.length && ktls->out.length;
}

void ktls_forget(struct ktls *ktls)
{
	if (!ktls->ssl)
		return;
	SSL_set_ex_data(ktls->ssl, ktls_index, NULL);
	watch_bio(SSL_get_rbio(ktls->ssl), NULL);
	watch_bio(SSL_get_wbio(ktls->ssl), NULL);
	SSL_set_msg_callback(ktls->ssl, NULL);
	OPENSSL_cleanse(ktls, sizeof(*ktls));
}

/* --- The socket */

bool ktls_is_mature(const char *release)
{
	unsigned version, patch_level;

	return sscanf(release, "%u.%u", &version, &patch_level) == 2 && (version > 6 || (version == 6 && patch_level >= 5));
}

int ktls_attach(int fd)
{
	return setsockopt(fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 ? -errno : 0;
}

static int set_stream(int fd, int option, const union ktls_crypto *crypto, int size)
{
	return setsockopt(fd, SOL_TLS, option, crypto, (socklen_t)size) < 0 ? -errno : 0;
}

int ktls_start(struct ktls *ktls, int fd)
{
	unsigned suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ktls->ssl));
	union ktls_crypto in, out;
	int in_size = ktls_crypto(&in, suite, &ktls->in);
	int out_size = ktls_crypto(&out, suite, &ktls->out);
	int result = in_size < 0 ? in_size : out_size < 0 ? out_size : set_stream(fd, TLS_TX, &out, out_size);

	if (result == 0 && set_stream(fd, TLS_RX, &in, in_size) < 0)
		result = -ENOTRECOVERABLE;
	OPENSSL_cleanse(&in, sizeof(in));
	OPENSSL_cleanse(&out, sizeof(out));
	ktls_forget(ktls);
	return result;
}

/* Room for a message's one piece of control data, a record's type. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(uint8_t))];
};

const char *ktls_next(int fd)
{
	union control control = { .bytes = "" };
	uint8_t type = 0, body[2] = { 0 };
	struct iovec iov = { body, sizeof(body) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	const struct cmsghdr *header;
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);

	header = length < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_TLS && header->cmsg_type == TLS_GET_RECORD_TYPE)
		type = *CMSG_DATA(header);
	if (type == TYPE_ALERT && length == sizeof(body))
		return body[1] == CLOSE_NOTIFY ? NULL : SSL_alert_desc_string_long(body[1]);
	if (type == TYPE_HANDSHAKE && length && body[0] == SSL3_MT_KEY_UPDATE)
		return "a key update, which kernel TLS cannot do";
	return "unexpected message";
}

void ktls_close(int fd)
{
	uint8_t alert[] = { LEVEL_WARNING, CLOSE_NOTIFY };
	union control control = { .bytes = "" };
	struct iovec iov = { alert, sizeof(alert) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	control.header = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(uint8_t)), .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE,
	};
	*CMSG_DATA(&control.header) = TYPE_ALERT;
	(void)!sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
