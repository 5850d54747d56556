/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_record.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* The version that all records name. */
#define VERSION_HIGH 3
#define VERSION_LOW 3
/* A type, padding and all. */
#define MOST_INNER (TLS_MOST_DATA + 1)
#define BLOCK 16
/* Of a record beside those that its data fills: one begun by it and the type, the header, the lengths, the tag. */
#define BLOCKS_BESIDE 4

/* --- Keys */

static const EVP_CIPHER *cipher_of(unsigned suite)
{
	switch (suite) {
	case TLS_AES_128_GCM_SHA256:
		return EVP_aes_128_gcm();
	case TLS_AES_256_GCM_SHA384:
		return EVP_aes_256_gcm();
	default:
		return EVP_chacha20_poly1305();
	}
}

/* Begins with SECRET. */
static int use(struct tls_record *record, const struct tls_secret *secret)
{
	struct tls_keys keys;
	int result = tls_secret_keys(&keys, record->suite, secret);

	if (result < 0)
		return result;
	if (EVP_CipherInit_ex(record->context, cipher_of(record->suite), NULL, keys.key, NULL, record->seals) == 1) {
		memcpy(record->iv, keys.iv, sizeof(record->iv));
		record->secret = *secret;
		record->number = record->blocks = 0;
	} else {
		result = -ENOMEM;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	return result;
}

int tls_record_init(struct tls_record *record, bool seals, unsigned suite, const struct tls_secret *secret, uint64_t number,
		    size_t most)
{
	int result;

	*record = (struct tls_record){ .context = EVP_CIPHER_CTX_new(), .seals = seals, .suite = suite, .most = most };
	result = record->context ? use(record, secret) : -ENOMEM;
	if (result < 0)
		tls_record_destroy(record);
	else
		record->number = number;
	return result;
}

void tls_record_destroy(struct tls_record *record)
{
	EVP_CIPHER_CTX_free(record->context);
	OPENSSL_cleanse(record, sizeof(*record));
}

int tls_record_update(struct tls_record *record)
{
	struct tls_secret secret = record->secret;
	int result = tls_secret_update(&secret, record->suite);

	if (result == 0)
		result = use(record, &secret);
	/* The other end has left the old key, or soon will: nothing may be sealed with it any more, nor with half a new one. */
	if (result < 0)
		record->number = UINT64_MAX;
	OPENSSL_cleanse(&secret, sizeof(secret));
	return result;
}

/* --- Records */

/* Begins the next record, of that HEADER; its number, never used again, makes its nonce. */
static bool begin(struct tls_record *record, const uint8_t *header)
{
	uint8_t nonce[TLS_IV];
	int done;

	if (record->number == UINT64_MAX)
		return false;
	memcpy(nonce, record->iv, sizeof(nonce));
	for (size_t i = 0; i < sizeof(record->number); i++)
		nonce[sizeof(nonce) - 1 - i] ^= (uint8_t)(record->number >> 8 * i);
	record->number++;
	return EVP_CipherInit_ex(record->context, NULL, NULL, NULL, nonce, -1) == 1 &&
	       EVP_CipherUpdate(record->context, NULL, &done, header, TLS_HEADER) == 1;
}

static bool run(struct tls_record *record, uint8_t *to, const uint8_t *from, size_t length)
{
	int done;

	return length == 0 || EVP_CipherUpdate(record->context, to, &done, from, (int)length) == 1;
}

static bool run_pieces(struct tls_record *record, uint8_t *to, struct tls_place *place, size_t length)
{
	while (length) {
		size_t part = place->piece->iov_len - place->offset;

		if (part > length)
			part = length;
		if (!run(record, to, (const uint8_t *)place->piece->iov_base + place->offset, part))
			return false;
		to += part;
		length -= part;
		place->offset += part;
		if (place->offset == place->piece->iov_len)
			*place = (struct tls_place){ place->piece + 1, 0 };
	}
	return true;
}

int tls_record_seal(struct tls_record *record, uint8_t type, struct tls_place *place, size_t length, uint8_t *to)
{
	const size_t size = length + TLS_RECORD_EXTRA, body = size - TLS_HEADER;
	uint8_t *end = to + TLS_HEADER + length;
	int done;

	record->blocks += length / BLOCK + BLOCKS_BESIDE;
	to[0] = TLS_DATA;
	to[1] = VERSION_HIGH;
	to[2] = VERSION_LOW;
	to[3] = (uint8_t)(body >> 8);
	to[4] = (uint8_t)body;
	if (begin(record, to) && run_pieces(record, to + TLS_HEADER, place, length) && run(record, end, &type, 1) &&
	    EVP_CipherFinal_ex(record->context, end + 1, &done) == 1 &&
	    EVP_CIPHER_CTX_ctrl(record->context, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, end + 1) == 1)
		return (int)size;
	ERR_clear_error();
	return -EIO;
}

int tls_record_size(const uint8_t *bytes, size_t length)
{
	size_t body;

	if (length == 0)
		return 0;
	if (bytes[0] != TLS_DATA)
		return -EPROTO;
	if (length < TLS_HEADER)
		return 0;
	body = (size_t)bytes[3] << 8 | bytes[4];
	return body > MOST_INNER + TLS_TAG ? -EMSGSIZE : (int)(TLS_HEADER + body);
}

size_t tls_record_room(size_t size)
{
	return size > TLS_RECORD_EXTRA ? size - TLS_RECORD_EXTRA : 0;
}

int tls_record_open(struct tls_record *record, const uint8_t *bytes, size_t size, uint8_t *to, uint8_t *type)
{
	const uint8_t *body = bytes + TLS_HEADER, *tag;
	size_t length = tls_record_room(size);
	int done;

	if (size < TLS_HEADER + TLS_TAG)
		return -EBADMSG;
	tag = bytes + size - TLS_TAG;
	*type = 0;
	/* What is last may be the type: it goes elsewhere, so that what it is the type of needs no room but its own. */
	if (!begin(record, bytes) || !run(record, to, body, length) || !run(record, type, body + length, tag > body ? 1 : 0) ||
	    EVP_CIPHER_CTX_ctrl(record->context, EVP_CTRL_AEAD_SET_TAG, TLS_TAG, (void *)(uintptr_t)tag) != 1 ||
	    EVP_CipherFinal_ex(record->context, to, &done) != 1) {
		ERR_clear_error();
		return -EBADMSG;
	}
	/* Or it is behind padding. */
	while (*type == 0 && length)
		*type = to[--length];
	if (*type == 0)
		return -EPROTO;
	return length > record->most ? -EMSGSIZE : (int)length;
}
