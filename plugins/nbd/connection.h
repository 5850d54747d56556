/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection to the server, with the thread that makes it, again and again, and does its jobs. */
#ifndef PLUGINS_NBD_CONNECTION_H
#define PLUGINS_NBD_CONNECTION_H

#include "plugins/nbd/nbd.h"

/* The NUMBERth, from 0 on, of DISK; -errno. */
int connection_init(struct connection *c, struct nbd_disk *disk, unsigned number);
/* Also of one that wasn't. */
void connection_destroy(struct connection *c);

/*
 * Makes the connection and reads what the server says into *UPSTREAM.  0; -errno with the reason in c->reason, or
 * -ECANCELED because the disk is stopping.  On C's thread, or before it starts.
 */
int connection_dial(struct connection *c, struct upstream *upstream);

/* Starts the thread, which goes on with the connection if it was made; -errno. */
int connection_start(struct connection *c);
/* Ends the thread; the disk is stopping. */
void connection_join(struct connection *c);

/* Wakes the thread.  Any thread. */
void connection_wake(struct connection *c);

#endif
