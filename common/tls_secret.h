/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traffic secrets of TLS 1.3 (RFC 8446, section 7): what the keys of one
 * direction are derived from, and the next secret.
 */
#ifndef COMMON_TLS_SECRET_H
#define COMMON_TLS_SECRET_H

#include <stddef.h>
#include <stdint.h>

/* The cipher suites that are known, by their numbers on the wire. */
#define TLS_AES_128_GCM_SHA256 0x1301u
#define TLS_AES_256_GCM_SHA384 0x1302u
#define TLS_CHACHA20_POLY1305_SHA256 0x1303u

#define TLS_MOST_SECRET 48 /* bytes: SHA-384's */
#define TLS_MOST_KEY 32
#define TLS_IV 12

struct tls_secret {
	uint8_t bytes[TLS_MOST_SECRET];
	size_t length; /* 0: not known */
};

/* To be wiped by whoever has it. */
struct tls_keys {
	uint8_t key[TLS_MOST_KEY];
	size_t length; /* of the key */
	uint8_t iv[TLS_IV];
};

/* What SECRET's records are protected with in SUITE.  -ENOTSUP: another suite; -EINVAL: SECRET isn't one of it; -ENOMEM. */
int tls_secret_keys(struct tls_keys *ret, unsigned suite, const struct tls_secret *secret);

/* SECRET becomes what is in use after a key update.  Fails as above, and it stays. */
int tls_secret_update(struct tls_secret *secret, unsigned suite);

#endif
