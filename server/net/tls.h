/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS of a connection: records between its socket and the session's input and
 * output, by way of buffers here.  No I/O: whoever has the connection receives
 * into tls_room() and sends tls_output(), until the kernel does all that.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct buffers;
struct tls;

/* What has become of the handshake. */
enum tls_state { TLS_WANTS_INPUT, TLS_ESTABLISHED, TLS_FAILED };

/* At the start: whether connections may go on in kernel TLS. */
void tls_allow_kernel(bool allowed);

/* For one connection, with memory from BUFFERS, which change when it moves.  NULL: no memory. */
struct tls *tls_new(struct buffers *buffers);
/* NULL is allowed. */
void tls_free(struct tls *tls);
/* It leaves its reactor, and arrives at another one. */
void tls_detach(struct tls *tls);
void tls_attach(struct tls *tls, struct buffers *buffers);

/* Room for received bytes, once tls_read() has no more: NULL, no memory.  So many came. */
void *tls_room(struct tls *tls, size_t *size);
void tls_received(struct tls *tls, size_t bytes);
/* Whether it holds a large buffer for that, and nothing is in it. */
bool tls_is_large(const struct tls *tls);

/* Has room for output, before tls_handshake(); false: no memory. */
bool tls_reserve(struct tls *tls);

/*
 * As much of the handshake as what was received allows; what is to be sent of it is output.  May take milliseconds: on
 * a thread of its own, while nobody else uses TLS.
 */
enum tls_state tls_handshake(struct tls *tls);

/* Fills IOV with what was received: how many bytes, 0: there aren't any yet; -1: the client has ended it; -EPROTO. */
int64_t tls_read(struct tls *tls, const struct iovec *iov, unsigned count);

/* Makes output of as much of IOV as there is room for: how many bytes; -ENOMEM, -EPROTO. */
int64_t tls_write(struct tls *tls, const struct iovec *iov, unsigned count);

/* Says goodbye, as output; or on FD, if the kernel does TLS there. */
void tls_close(struct tls *tls, int fd);

/* What is to be sent: 0 bytes is none.  After BYTES of it were sent: the next. */
size_t tls_output(const struct tls *tls, void **bytes);
void tls_sent(struct tls *tls, size_t bytes);

/*
 * OpenSSL is for the handshake, and for TLS 1.2: it copies what others needn't.  Once TLS 1.3 is used for data the kernel goes
 * on where it is, or we do (common/tls_channel.h), which nobody notices but for the cost.
 *
 * Before a step of the handshake, on its thread: whether the kernel could on FD, -errno: it can't.  Afterwards, whether a
 * handover is to come, and how many bytes are to be received before it can: 0: none, if there is no output either.  Then to the
 * kernel, if it is for that: see ktls_start(); tls_read(), tls_write() and output are over; or to us: -errno: OpenSSL stays.
 */
int tls_prepare_kernel(struct tls *tls, int fd);
bool tls_wants_handover(const struct tls *tls);
size_t tls_before_handover(const struct tls *tls);
bool tls_wants_kernel(const struct tls *tls);
int tls_start_kernel(struct tls *tls, int fd);
int tls_start_channel(struct tls *tls);
/* Whether the kernel does it. */
bool tls_in_kernel(const struct tls *tls);

/* For people: why something failed; the version, the cipher and who the client is, "" where that isn't known. */
const char *tls_reason(const struct tls *tls);
/* All names of the client's certificate, see tls_certificate_names(); the identity of its key; NULL: it has none. */
char *tls_names(const struct tls *tls);
const char *tls_key(const struct tls *tls);
const char *tls_version(const struct tls *tls);
const char *tls_cipher(const struct tls *tls);
const char *tls_identity(const struct tls *tls);

#endif
