/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS contexts: which credentials a server has and what it allows: TLS 1.3,
 * or 1.2, nothing older; no compression, renegotiation, early data, sessions
 * or tickets.
 */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX... */
struct ssl_st;     /* ...and SSL */

/* Of one identity or another a client proves to be; longer ones are refused. */
#define TLS_MOST_IDENTITY 256

/* Where the credentials lie; one of the two is needed. */
struct tls_files {
	/*
	 * A directory with server-cert.pem (a chain may follow), server-key.pem and, to check clients' certificates,
	 * ca-cert.pem and perhaps ca-crl.pem, which other NBD servers have under the same names; NULL.
	 */
	const char *certificates;
	const char *psk;   /* a file of lines IDENTITY:KEY, the key in hexadecimal, as psktool makes it; NULL */
	bool verify_peer;  /* clients must have a certificate that ca-cert.pem signed, unless they know a key */
};

/* A server's context, to be freed by SSL_CTX_free().  -errno, with the reason in TEXT. */
int tls_load(struct ssl_ctx_st **ret, const struct tls_files *files, char *text, size_t size);

/*
 * Who SSL's other end has proved to be, after the handshake: its certificate's subject, "..." at the end of what there is room for,
 * the identity of its key, or "".
 */
void tls_peer(struct ssl_st *ssl, char *text, size_t size);

/* The identity of the key that SSL's other end was let in by, as long as SSL; NULL: none was. */
const char *tls_key_identity(struct ssl_st *ssl);

/*
 * The names in the certificate that SSL's other end has proved to be its own: the subject as in RFC 2253, with an equal
 * sign in it, and the common name and alternative names that have none.  Each has its end, and an empty one is
 * behind the last; to be freed.  NULL: there is no certificate, or no memory.
 */
char *tls_certificate_names(struct ssl_st *ssl);

#endif
