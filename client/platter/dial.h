/* SPDX-License-Identifier: BSD-2-Clause */
/* From a host's name, or a unix socket's path, to a connected socket. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include <stdint.h>
#include <sys/socket.h>

#include "client/platter/problem.h"

struct uri;

#define DIAL_MOST 16         /* addresses of a host that are tried */
#define DIAL_TEXT 128        /* bytes of an address as text */

struct dial {
	struct dial_address {
		struct sockaddr_storage address;
		socklen_t length;
	} list[DIAL_MOST];
	unsigned count;
};

/* Asks for the addresses of URI's host; may take as long as the resolver does. */
int dial_resolve(struct dial *dial, const struct uri *uri, struct problem *problem);

/*
 * Connects to the first that answers, each getting a head start of a quarter of a second before the next (RFC 8305): a
 * socket that notices a dead peer, and doesn't block; DEADLINE: of CLOCK_MONOTONIC, ns.  CANCEL: a descriptor, readable when
 * that is to end; -1.
 */
int dial_connect(const struct dial *dial, uint64_t deadline, int cancel, struct problem *problem);

/* Of the other end of socket FD, as people write it; TEXT has DIAL_TEXT bytes. */
void dial_peer(int fd, char *text);

/* A dead peer is to be noticed within so many seconds, of silence or of data that nobody acknowledges. */
#define DIAL_SILENCE_SECONDS 20

#endif
