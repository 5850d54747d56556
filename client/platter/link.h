/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection to a server, through its handshake: what the kernel's driver is given. */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include <stdint.h>

#include "client/platter/dial.h"
#include "client/platter/handshake.h"

struct secure;
struct uri;

/* How long a server may take from the first packet to its last word of the handshake. */
#define LINK_SECONDS 15
/* How long it may take to connect: after a cut, that is how late another packet may be sent. */
#define LINK_CONNECT_SECONDS 5
#define LINK_TLS 128         /* bytes of a text on TLS */

struct link {
	int fd;                      /* blocking again; -1: none */
	char peer[DIAL_TEXT];
	struct handshake handshake;  /* over */
	char identity[HANDSHAKE_UUID + 1]; /* of the export; "": the server tells none */
	struct secure *secure;       /* TLS, until the kernel or a relay does it; NULL */
	char tls[LINK_TLS];          /* who does TLS, and which; "": nobody */
};

/*
 * Connects to one of DIAL's addresses and negotiates what GOAL says of URI's export; CANCEL as in dial_connect().  Whether it
 * succeeds or not, link_close() is due.
 */
int link_open(struct link *link, const struct dial *dial, const struct uri *uri, enum handshake_goal goal, int cancel,
	      struct problem *problem);

/* A closed one, too. */
void link_close(struct link *link);

#endif
