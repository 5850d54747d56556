/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a connection's sealed bytes lie: those that were received and are
 * still to be read, and those that are to be sent.
 */
#ifndef NET_TLS_BUFFERS_H
#define NET_TLS_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "server/block/buffer.h"

/* An idle connection's: a small request in a record. */
#define TLS_SMALL 1024
/* More than records add to what a small buffer holds, or the largest of them, even if the client wants them of 512 bytes. */
#define TLS_BUFFERS_EXTRA 1024u

struct tls_buffers {
	struct buffers *buffers;
	/* Received and not yet read: in `large`, or in `small`. */
	struct buffer *large;
	size_t start, end;
	size_t last;              /* what the last receive brought */
	/* To be sent; its buffer goes when it has been. */
	struct buffer *out;
	size_t sent, length;
	uint8_t small[TLS_SMALL];
};

void tls_buffers_destroy(struct tls_buffers *buffers);
/* They leave their reactor, and arrive at another one, whose memory is HOME. */
void tls_buffers_detach(struct tls_buffers *buffers);
void tls_buffers_attach(struct tls_buffers *buffers, struct buffers *home);

/* What was received: the next byte of it, and how many there are. */
uint8_t *tls_buffers_received(struct tls_buffers *buffers);
size_t tls_buffers_length(const struct tls_buffers *buffers);

/* Room for more behind that, which may move: NULL, no memory.  NEED: so much is known to belong together; 0. */
void *tls_buffers_room(struct tls_buffers *buffers, size_t need, size_t *size);

/* Nothing more is kept: what was received is dropped, and so is a large buffer for it. */
void tls_buffers_drop(struct tls_buffers *buffers);

/* A buffer for output, of CLASS if it is empty; where there is no memory for it, there is no room. */
void tls_buffers_need_out(struct tls_buffers *buffers, enum buffer_class class);
size_t tls_buffers_out_room(const struct tls_buffers *buffers);
/* The room's beginning. */
uint8_t *tls_buffers_out(struct tls_buffers *buffers);
/* Gives it back, if nothing is in it. */
void tls_buffers_put_empty_out(struct tls_buffers *buffers);
/* BYTES of output were sent. */
void tls_buffers_sent(struct tls_buffers *buffers, size_t bytes);

#endif
