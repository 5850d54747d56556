/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that whoever started the server has opened for it, see sd_listen_fds(3).  By their names they are for
 * platterctl ("control"), for clients that must use TLS ("nbds"), or, whatever else they are called, for clients.
 * Built without libsystemd, there are none.
 */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <stdbool.h>

struct platter_error;

/* Before the first thread: takes them from the environment, and looks at them. */
int activation_begin(struct platter_error *error);

/* The one for platterctl, which is the caller's; -1: there is none. */
int activation_control(void);

/* Whether there are others. */
bool activation_has_listeners(void);
/* The INDEX-th of them, by its name; NULL behind the last. */
const char *activation_listener(unsigned index, int *fd);

/* Forgets the names. */
void activation_end(void);

#endif
