/* SPDX-License-Identifier: BSD-2-Clause */
/* What the generator's bytes go through: a socket, with TLS on it if that is asked for. */
#ifndef BENCH_LOAD_STREAM_H
#define BENCH_LOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tls;

struct stream {
	int fd;
	struct tls *tls; /* NULL: plain text */
};

/* load_stream.c */

/* All of it, for the negotiation; they end the program when that can't be had. */
void stream_send_all(const struct stream *stream, const void *from, size_t length);
void stream_receive_all(const struct stream *stream, void *to, size_t length);

/* Like recv(2) with FLAGS: one call, or as many as it takes until a record is whole. */
ssize_t stream_receive(const struct stream *stream, void *to, size_t size, int flags);

/* Like sendmsg(2), never waiting: takes a part of VECTOR, or none. */
ssize_t stream_send(const struct stream *stream, const struct iovec *vector, unsigned count);

/* Whether the socket has still to take something that stream_send() took: it is to be called again. */
bool stream_is_behind(const struct stream *stream);

void stream_close(struct stream *stream);

/* load_tls.c: the same in TLS 1.3 with AES-128-GCM, in full records, a whole batch of them with one system call */

/*
 * After the handshake on FD; ends the program when that fails.  DIRECTORY/ca-cert.pem must have signed the server's certificate;
 * a client-cert.pem with client-key.pem that is there is shown.
 */
struct tls *tls_connect(int fd, const char *directory);
void tls_free(struct tls *tls);
ssize_t tls_receive(struct tls *tls, void *to, size_t size, int flags);
ssize_t tls_send(struct tls *tls, const struct iovec *vector, unsigned count);
bool tls_is_behind(const struct tls *tls);

#endif
