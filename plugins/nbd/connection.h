/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection to the server, with the thread that makes it, again and again, and does its jobs. */
#ifndef PLUGINS_NBD_CONNECTION_H
#define PLUGINS_NBD_CONNECTION_H

#include "plugins/nbd/nbd.h"

/* For a connection and its handshake: one that is to do jobs; one that somebody waits for who only wants to know. */
#define DIAL_SECONDS 30
#define ASK_SECONDS 5

/* The NUMBERth, from 0 on, of DISK; -errno. */
int connection_init(struct connection *c, struct nbd_disk *disk, unsigned number);
/* Also of one that wasn't. */
void connection_destroy(struct connection *c);

/*
 * Makes the connection within SECONDS and reads what the server says into *UPSTREAM.  0; -errno with the reason in
 * c->reason, or -ECANCELED because the disk is stopping.  On C's thread, or before it starts.
 */
int connection_dial(struct connection *c, struct upstream *upstream, unsigned seconds);

/* Starts the thread, which goes on with the connection if it was made; -errno. */
int connection_start(struct connection *c);
/* Waits for the thread's end; the disk is stopping, and it was woken. */
void connection_join(struct connection *c);

/* Wakes the thread.  Any thread. */
void connection_wake(struct connection *c);

#endif
