/* SPDX-License-Identifier: BSD-2-Clause */
/* Moving a connection to the reactor that serves its disk. */
#ifndef NET_MOVE_H
#define NET_MOVE_H

struct conn;

/* Takes CONN, which has nothing in flight, from its reactor to conn->moving_to. */
void conn_move(struct conn *conn);

/* CONN is where it stays, its handshake over: begins to watch for its client's end. */
void conn_enter(struct conn *conn);

#endif
