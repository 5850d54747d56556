/* SPDX-License-Identifier: BSD-2-Clause */
/* Listening sockets: unix:PATH[,mode=OCTAL] and tcp:HOST[:PORT]. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>

#include "server/nbd/session.h"

struct platter_error;
struct reactor;

#define LISTEN_DEFAULT "tcp:localhost"

/* "off", "on", "required"; -EINVAL. */
int listen_parse_tls(enum nbd_tls *tls, const char *mode, struct platter_error *error);

/* Whether ADDRESS makes sense; *TLS is its mode, if it says one. */
int listen_check(const char *address, enum nbd_tls *tls, struct platter_error *error);

/* Binds ADDRESS, to all that its name resolves to; with TLS unless it says so itself.  Clients wait until listen_start(). */
int listen_add(const char *address, enum nbd_tls tls, struct platter_error *error);

/* Likewise FD, which listens already and is taken, but for a failure; NAME is for people. */
int listen_adopt(int fd, const char *name, enum nbd_tls tls, struct platter_error *error);

/* Logs what was bound since the last listen_start(). */
void listen_log(void);

/* Accepts clients there on REACTOR, the first, the calling thread's; while nobody calls listen_add().  Not behind listen_stop(). */
void listen_start(struct reactor *reactor);

/* On its thread: closes what was added as ADDRESS; has its new clients use TLS so.  Those that are there stay as they are. */
void listen_remove(const char *address);
void listen_set_tls(const char *address, enum nbd_tls tls);

/* Stops accepting, removes the unix sockets' files and closes the sockets, when their operations have come back: until then listen_busy(). */
void listen_stop(void);
bool listen_busy(void);

/* Frees everything, and removes what is left in the file system. */
void listen_cleanup(void);

#endif
