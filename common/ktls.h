/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel TLS: once the kernel knows the keys of both directions it seals and
 * opens the records of a TCP socket, which from then on gives and takes plain
 * text.  OpenSSL has no way to hand over what it has received for TLS 1.3, but
 * it logs the secrets that the keys are derived from; how many records were
 * sealed with each is counted as they pass its BIO.  TLS 1.2 stays where it
 * is: OpenSSL keeps the nonces that it has used to itself.
 *
 * In this order: ktls_attach() and ktls_watch() before the handshake; when both
 * directions are between two records, and nothing that was received waits to be
 * opened, ktls_start(); then ktls_next() on what isn't data, and ktls_close().
 */
#ifndef COMMON_KTLS_H
#define COMMON_KTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/tls.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX... */
struct ssl_st;     /* ...and SSL */

#define KTLS_HEADER 5  /* of a record, in bytes */
#define KTLS_SECRET 48 /* at most: SHA-384's */

/* What is sent, or what is received. */
struct ktls_stream {
	uint8_t secret[KTLS_SECRET]; /* its traffic secret... */
	size_t length;               /* ...in bytes; 0: not known */
	uint64_t records;            /* begun with it: the next one's number */
	uint8_t header[KTLS_HEADER]; /* the next record's, as far as it is there... */
	size_t have;                 /* ...in bytes */
	size_t left;                 /* bytes that the last record still lacks */
};

struct ktls {
	struct ssl_st *ssl;          /* that is watched; NULL: none, and nothing is known */
	struct ktls_stream in, out;
};

/* What setsockopt(2) takes with TLS_TX or TLS_RX. */
union ktls_crypto {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes_gcm_128;
	struct tls12_crypto_info_aes_gcm_256 aes_gcm_256;
	struct tls12_crypto_info_chacha20_poly1305 chacha20_poly1305;
};

/*
 * Key, initialization vector and number of STREAM's next record, in TLS 1.3 with SUITE (its number on the wire): the size of
 * what is used of RET, which is secret.  -ENOTSUP: another suite; -EINVAL: STREAM's secret isn't one of it; -ENOMEM.
 */
int ktls_crypto(union ktls_crypto *ret, unsigned suite, const struct ktls_stream *stream);

/* BYTES of STREAM pass by. */
void ktls_count(struct ktls_stream *stream, const void *bytes, size_t length);

/* How many bytes are certain to follow, since they belong to a record that has begun: 0: it is between two records. */
size_t ktls_missing(const struct ktls_stream *stream);

/* Has the connections of CONTEXT that are watched keep their secrets.  -ENOMEM. */
int ktls_allow(struct ssl_ctx_st *context);

/*
 * Keeps in KTLS what SSL lets it know, which has its BIOs, perhaps two in one, and hasn't begun its handshake.  They stay where
 * they are until ktls_forget(), or ktls_start(), which SSL outlives.  -ENOMEM.
 */
int ktls_watch(struct ktls *ktls, struct ssl_st *ssl);

/* Whether all is known that it takes; not before the handshake is over, and no more after a key update. */
bool ktls_is_ready(const struct ktls *ktls);

/* Wipes it, and has its SSL watched no more, if it is. */
void ktls_forget(struct ktls *ktls);

/*
 * Whether a kernel of that RELEASE (uname -r) waits well for records.  Before Linux 6.5 a socket polls as readable when part of
 * one is there: io_uring tries to receive it 128 times, and then has a worker thread wait.
 */
bool ktls_is_mature(const char *release);

/*
 * Prepares a connected socket, on which nothing changes yet: -ENOENT where the kernel has no TLS, or its module isn't loaded;
 * -EOPNOTSUPP for what isn't TCP.  May take as long as the module does to load.
 */
int ktls_attach(int fd);

/*
 * The kernel goes on where OpenSSL is; KTLS is ready, and forgets in any case.  -errno: it can't, and all stays as it was;
 * -ENOTRECOVERABLE: it did so for one direction only, so that the connection has to end.
 */
int ktls_start(struct ktls *ktls, int fd);

/*
 * After a receive that failed with EIO, since what is next isn't data: takes that, and says in a few words, for people, why
 * it is the end; NULL: the other side has said goodbye.
 */
const char *ktls_next(int fd);

/* Says goodbye, as far as there is room for it in the socket. */
void ktls_close(int fd);

#endif
