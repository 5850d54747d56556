/* SPDX-License-Identifier: BSD-2-Clause */
/* One administrator's connection: lines of JSON in and out, on a thread of its own. */
#ifndef CONTROL_PEER_H
#define CONTROL_PEER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/list.h"

/* A line from a peer; what is longer ends the connection. */
#define PEER_MOST_LINE (1u << 20)
/* Seconds to send the rest of a line that has begun, and to read what is sent. */
#define PEER_SECONDS 10

struct peer {
	struct list_head link; /* for control.c */
	int fd;                /* blocking */
	uid_t uid;
	bool may_change;       /* root, or the daemon's user */
	char *buffer;          /* what was read */
	size_t used, room;
	size_t line;           /* of it, what the last peer_read() returned */
};

/* FD becomes the peer's; NULL when there is no memory. */
struct peer *peer_new(int fd);
/* NULL is allowed. */
void peer_free(struct peer *peer);

/*
 * The next line and its LENGTH, without the newline; it is valid until the next
 * call.  NULL: the peer has gone, or -EMSGSIZE, -ETIMEDOUT, -ENOMEM in *ERROR.
 */
const char *peer_read(struct peer *peer, size_t *length, int *error);

/* Sends VALUE, which it takes, as a line; false when the peer doesn't read it, or has gone. */
bool peer_send(struct peer *peer, json_t *value);

/* Whether the peer has closed its socket; one that only says no more may still listen. */
bool peer_gone(const struct peer *peer);

#endif
