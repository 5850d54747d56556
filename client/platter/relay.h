/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For TLS that the kernel can't do: a thread of this process between a socket
 * of plain text, which the kernel's driver is given, and the server.  It ends
 * with the process, and so does the connection.
 */
#ifndef CLIENT_RELAY_H
#define CLIENT_RELAY_H

#include "client/platter/problem.h"

struct secure;

/* Takes SECURE and its socket FD, in any case: the end of plain text; -1. */
int relay_begin(struct secure *secure, int fd, struct problem *problem);

#endif
