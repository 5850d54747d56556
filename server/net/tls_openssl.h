/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenSSL on a connection's buffers of sealed bytes: for the handshake, for TLS 1.2, and until others go on. */
#ifndef NET_TLS_OPENSSL_H
#define NET_TLS_OPENSSL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ssl_st; /* OpenSSL's SSL */
struct tls_buffers;

/* A server's end, on BUFFERS, which stay where they are as long as it is there; to be freed by SSL_free().  NULL: no memory. */
struct ssl_st *tls_openssl_new(struct tls_buffers *buffers);

/* Why the last call failed, on the same thread: for people. */
void tls_openssl_reason(struct ssl_st *ssl, char *text, size_t size);

/* After the handshake: how much data there may be in a record, which a client may have asked to be less than usual. */
size_t tls_openssl_most_data(struct ssl_st *ssl);

/* As tls_read(). */
int64_t tls_openssl_read(struct ssl_st *ssl, struct tls_buffers *buffers, const struct iovec *iov, unsigned count);
/* Makes output of the first PART bytes of IOV, as far as there is room for: how many bytes; -EPROTO. */
int64_t tls_openssl_write(struct ssl_st *ssl, struct tls_buffers *buffers, const struct iovec *iov, unsigned count,
			  size_t part);
/* Says goodbye, as output. */
void tls_openssl_close(struct ssl_st *ssl, struct tls_buffers *buffers);

#endif
