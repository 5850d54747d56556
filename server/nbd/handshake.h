/* SPDX-License-Identifier: BSD-2-Clause */
/* For session.c: the handshake's part of the session's functions. */
#ifndef NBD_HANDSHAKE_H
#define NBD_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

struct nbd_session;

void handshake_greet(struct nbd_session *session);
size_t handshake_feed(struct nbd_session *session, const uint8_t *bytes, size_t length);
void handshake_skipped(struct nbd_session *session);

#endif
