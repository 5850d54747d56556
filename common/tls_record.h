/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record protection of TLS 1.3 (RFC 8446, section 5), one direction of a
 * connection: makes records of data that lies in pieces, and opens those of
 * the other end, each in one pass from where it is to where it shall be.
 */
#ifndef COMMON_TLS_RECORD_H
#define COMMON_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/tls_secret.h"

struct evp_cipher_ctx_st; /* OpenSSL's EVP_CIPHER_CTX */

/* What is inside. */
#define TLS_ALERT 21
#define TLS_HANDSHAKE 22
#define TLS_DATA 23

#define TLS_HEADER 5 /* bytes, in front of what is protected... */
#define TLS_TAG 16   /* ...and behind it */
#define TLS_RECORD_EXTRA (TLS_HEADER + 1 + TLS_TAG) /* what a record adds to its data */
#define TLS_MOST_DATA (16u << 10)                   /* of a record */

/*
 * So much may be sealed with a key, in the blocks of 16 bytes that its cipher works on: AES-GCM stays safe for 2^24.5 of the
 * largest records (RFC 8446, 5.5), and 2^24 of them are right for the other cipher, too.  Smaller ones count for less: a key
 * update that comes early costs a client its connection, if its kernel does TLS and can't follow.
 */
#define TLS_MOST_BLOCKS (UINT64_C(1) << 34)

struct tls_record {
	struct evp_cipher_ctx_st *context; /* NULL: not set up */
	bool seals;                        /* or opens */
	unsigned suite;
	struct tls_secret secret;
	uint8_t iv[TLS_IV];
	uint64_t number;                   /* of the next record with this secret */
	uint64_t blocks;                   /* sealed with it, if this seals */
	size_t most;                       /* data in a record */
};

/* A place in a list of pieces. */
struct tls_place {
	const struct iovec *piece;
	size_t offset;
};

/*
 * For the records of SECRET in SUITE, from number NUMBER on, with at most MOST bytes of data, where less than TLS_MOST_DATA was
 * agreed upon.  Fails as tls_secret_keys() does, and leaves nothing behind.
 */
int tls_record_init(struct tls_record *record, bool seals, unsigned suite, const struct tls_secret *secret, uint64_t number,
		    size_t most);

/* Wipes what is secret.  One that was never set up is allowed, if it is zero. */
void tls_record_destroy(struct tls_record *record);

/* A key update: goes on with the next secret, from number 0 on.  -ENOMEM: it seals and opens nothing more. */
int tls_record_update(struct tls_record *record);

/*
 * Makes a record of TYPE in TO, which has TLS_RECORD_EXTRA bytes more than LENGTH, of the LENGTH bytes from PLACE on, which
 * moves behind them; at most RECORD->most.  How many bytes it has; -EIO: the cipher failed, or its numbers are used up.
 */
int tls_record_seal(struct tls_record *record, uint8_t type, struct tls_place *place, size_t length, uint8_t *to);

/*
 * How many bytes the record at the beginning of BYTES has in all; 0: that can't be told yet; -EPROTO: that is no protected
 * record; -EMSGSIZE: it is larger than there are.
 */
int tls_record_size(const uint8_t *bytes, size_t length);

/*
 * Opens the whole record BYTES of SIZE, as tls_record_size() says, into TO: BYTES + TLS_HEADER, or tls_record_room() bytes
 * elsewhere.  How many it holds, of *TYPE; what is behind them in the room is undefined then, and all of it after a failure:
 * -EBADMSG: it is not authentic; -EPROTO: it has no type; -EMSGSIZE: it holds more than was agreed upon.
 */
int tls_record_open(struct tls_record *record, const uint8_t *bytes, size_t size, uint8_t *to, uint8_t *type);

/* At most so many bytes a record of SIZE bytes may hold. */
size_t tls_record_room(size_t size);

#endif
