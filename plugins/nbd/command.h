/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs as commands of libnbd.  On the connection's thread. */
#ifndef PLUGINS_NBD_COMMAND_H
#define PLUGINS_NBD_COMMAND_H

#include "plugins/nbd/nbd.h"

/* Sends JOB on C, which has it among its sent ones until it is answered; or ends it, if libnbd won't. */
void command_send(struct connection *c, struct job *job);

/* Gives back what JOB has beside its request. */
void command_free(struct job *job);

#endif
