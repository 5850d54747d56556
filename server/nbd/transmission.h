/* SPDX-License-Identifier: BSD-2-Clause */
/* For session.c and option.c: the transmission phase. */
#ifndef NBD_TRANSMISSION_H
#define NBD_TRANSMISSION_H

#include <stddef.h>
#include <stdint.h>

struct nbd_session;

/* The handshake is over; session->export's disk is open. */
void transmission_start(struct nbd_session *session);
size_t transmission_feed(struct nbd_session *session, const uint8_t *bytes, size_t length);
/* Bytes of a request's header, as they were negotiated. */
size_t transmission_header_size(const struct nbd_session *session);
void transmission_payload_done(struct nbd_session *session);

#endif
