/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: a unix socket on which administrators send methods as
 * lines of JSON and get lines back; see platter-control(7).  A thread for each
 * of them: what they ask for may take long, and no reactor waits for it.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>

struct platter_error;

/*
 * Listens at ADDRESS: PATH[,mode=OCTAL].  NULL: /run/platter/control.sock, or
 * platter/control.sock under XDG_RUNTIME_DIR for a user other than root; where
 * there can be none, or another server has it, it says so and goes on.
 */
int control_open(const char *address, struct platter_error *error);
/* Likewise on FD, a unix socket that listens already, and is taken; for whoever opens it next it stays as it is. */
void control_adopt(int fd);
bool control_is_open(void);

/* Serves whoever comes, once the reactors run; -errno. */
int control_start(void);

/* Takes no more requests; those that run are finished, and keep the reactors running.  Any thread. */
void control_stop(void);

/* Whether that was asked for. */
bool control_stopping(void);

/* Waits for all threads and removes the socket. */
void control_close(void);

#endif
