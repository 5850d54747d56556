/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it takes to go on with a connection of TLS 1.3 where OpenSSL is.  It
 * has no way to hand that over, but it logs the secrets that the keys are
 * derived from; how many records were sealed with each is counted as they pass
 * its BIO.  TLS 1.2 stays where it is: OpenSSL keeps the nonces that it has
 * used to itself.
 *
 * tls_watch_start() before the handshake; when both directions are between two
 * records, and nothing that was received waits to be opened, the kernel
 * (common/ktls.h) or we (common/tls_channel.h) can go on.
 */
#ifndef COMMON_TLS_WATCH_H
#define COMMON_TLS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tls_record.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX... */
struct ssl_st;     /* ...and SSL */

/* What is sent, or what is received. */
struct tls_stream {
	struct tls_secret secret;
	uint64_t records;           /* begun with it: the next one's number */
	uint8_t header[TLS_HEADER]; /* the next record's, as far as it is there... */
	size_t have;                /* ...in bytes */
	size_t left;                /* bytes that the last record still lacks */
};

struct tls_watch {
	struct ssl_st *ssl; /* that is watched; NULL: none, and nothing is known */
	struct tls_stream in, out;
};

/* BYTES of STREAM pass by. */
void tls_watch_count(struct tls_stream *stream, const void *bytes, size_t length);

/* How many bytes are certain to follow, since they belong to a record that has begun: 0: it is between two records. */
size_t tls_watch_missing(const struct tls_stream *stream);

/* Has the connections of CONTEXT that are watched keep their secrets.  -ENOMEM. */
int tls_watch_allow(struct ssl_ctx_st *context);

/*
 * Keeps in WATCH what SSL lets it know, which has its BIOs, perhaps two in one, and hasn't begun its handshake.  They stay
 * where they are until tls_watch_forget(), which SSL outlives.  -ENOMEM.
 */
int tls_watch_start(struct tls_watch *watch, struct ssl_st *ssl);

/* Whether all is known: not before the handshake is over, and no more after a key update. */
bool tls_watch_is_ready(const struct tls_watch *watch);

/* The number of its cipher suite. */
unsigned tls_watch_suite(const struct tls_watch *watch);

/* Wipes it, and has its SSL watched no more, if it is. */
void tls_watch_forget(struct tls_watch *watch);

#endif
