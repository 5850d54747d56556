/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS of a connection to a server: its handshake and what follows go through
 * OpenSSL, on a socket that doesn't block.  In the end the kernel goes on
 * where OpenSSL is (secure_hand_over()), or a relay does.
 */
#ifndef CLIENT_SECURE_H
#define CLIENT_SECURE_H

#include <stddef.h>
#include <sys/types.h>

#include "client/platter/problem.h"

struct secure;
struct uri;

#define SECURE_TEXT 96

/* For FD, with the credentials that URI tells; NULL: PROBLEM. */
struct secure *secure_new(int fd, const struct uri *uri, struct problem *problem);
/* NULL is allowed; FD stays open. */
void secure_free(struct secure *secure);

/*
 * As send(2) and recv(2), and the handshake, 0 when it is over: -1 and errno, EAGAIN with *EVENTS to poll(2) for; EPROTO: PROBLEM
 * has the reason.  Receiving, 0 is the end.
 */
int secure_handshake(struct secure *secure, short *events, struct problem *problem);
ssize_t secure_send(struct secure *secure, const void *bytes, size_t length, short *events, struct problem *problem);
ssize_t secure_receive(struct secure *secure, void *bytes, size_t length, short *events, struct problem *problem);

/* Says goodbye, as far as there is room for it. */
void secure_close(struct secure *secure);

/*
 * Has the kernel do it, once neither side waits for anything: 0; -errno: it can't, and OpenSSL is to go on; -ENOTRECOVERABLE:
 * the connection has to end.
 */
int secure_hand_over(struct secure *secure);

/* Version and cipher, for people; TEXT has SECURE_TEXT bytes. */
void secure_describe(const struct secure *secure, char *text);

#endif
