/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/ktls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "common/tls_watch.h"

/* TLS's own, on the wire. */
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE 22
#define LEVEL_WARNING 1
#define CLOSE_NOTIFY 0

/* --- Keys */

struct cipher {
	unsigned suite;
	uint16_t type;
	size_t size; /* of what setsockopt() takes */
	const char *name;
};

static const struct cipher ciphers[] = {
	{ TLS_AES_128_GCM_SHA256, TLS_CIPHER_AES_GCM_128, sizeof(struct tls12_crypto_info_aes_gcm_128),
	  "TLSv1.3 TLS_AES_128_GCM_SHA256" },
	{ TLS_AES_256_GCM_SHA384, TLS_CIPHER_AES_GCM_256, sizeof(struct tls12_crypto_info_aes_gcm_256),
	  "TLSv1.3 TLS_AES_256_GCM_SHA384" },
	{ TLS_CHACHA20_POLY1305_SHA256, TLS_CIPHER_CHACHA20_POLY1305, sizeof(struct tls12_crypto_info_chacha20_poly1305),
	  "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256" },
};

static const struct cipher *find_cipher(unsigned suite)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ciphers[i].suite == suite)
			return &ciphers[i];
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

int ktls_crypto(union ktls_crypto *ret, unsigned suite, const struct tls_stream *stream)
{
	const struct cipher *cipher = find_cipher(suite);
	struct tls_keys keys;
	struct parts parts;
	int result = cipher ? tls_secret_keys(&keys, suite, &stream->secret) : -ENOTSUP;

	if (result < 0)
		return result;
	*ret = (union ktls_crypto){ .info = { TLS_1_3_VERSION, cipher->type } };
	parts = parts_of(ret, cipher->type);
	memcpy(parts.key, keys.key, parts.key_size);
	memcpy(parts.salt, keys.iv, parts.salt_size);
	memcpy(parts.iv, keys.iv + parts.salt_size, sizeof(keys.iv) - parts.salt_size);
	OPENSSL_cleanse(&keys, sizeof(keys));
	for (size_t i = 0; i < sizeof(stream->records); i++)
		parts.number[i] = (uint8_t)(stream->records >> (56 - 8 * i));
	return (int)cipher->size;
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

int ktls_start(const struct tls_watch *watch, int fd)
{
	unsigned suite = tls_watch_suite(watch);
	union ktls_crypto in, out;
	int in_size = ktls_crypto(&in, suite, &watch->in);
	int out_size = ktls_crypto(&out, suite, &watch->out);
	int result = in_size < 0 ? in_size : out_size < 0 ? out_size : set_stream(fd, TLS_TX, &out, out_size);

	if (result == 0 && set_stream(fd, TLS_RX, &in, in_size) < 0)
		result = -ENOTRECOVERABLE;
	OPENSSL_cleanse(&in, sizeof(in));
	OPENSSL_cleanse(&out, sizeof(out));
	return result;
}

const char *ktls_cipher(int fd)
{
	/* For a whole structure there would be the keys, too. */
	struct tls_crypto_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(fd, SOL_TLS, TLS_TX, &info, &size) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ciphers[i].type == info.cipher_type)
			return ciphers[i].name;
	return NULL;
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
