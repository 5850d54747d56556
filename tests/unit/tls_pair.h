/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenSSL at both ends of a connection that exists in memory only, each of them watched. */
#ifndef UNIT_TLS_PAIR_H
#define UNIT_TLS_PAIR_H

#include <stddef.h>

#include <openssl/ssl.h>

#include "common/tls_watch.h"

struct end {
	SSL *ssl; /* its BIOs are in memory */
	struct tls_watch watch;
};

struct pair {
	SSL_CTX *server_context, *client_context;
	struct end server, client;
};

/* The suites, by their names; NULL ends them. */
extern const char *const pair_suites[];

/* With one suite of TLS 1.3; NULL: TLS 1.2.  The server gives TICKETS of them. */
void pair_open(struct pair *pair, const char *suite, size_t tickets);
/* Wipes what was watched. */
void pair_close(struct pair *pair);

/* What FROM has sent reaches TO. */
void pair_pass(struct end *from, struct end *to);

/* TO reads what FROM writes. */
void pair_say(struct end *from, struct end *to, const char *text);

/* Anything but data is dealt with on the way. */
void pair_assert_silent(struct end *end);

#endif
