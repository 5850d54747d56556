/* SPDX-License-Identifier: BSD-2-Clause */
/* From a device that is attached to none, without loss. */
#ifndef CLIENT_DETACH_H
#define CLIENT_DETACH_H

#include <stdbool.h>

#include "client/platter/problem.h"

struct state;

/* How long the last writes, and then the kernel, may take. */
#define DETACH_SECONDS 30

/*
 * Detaches STATE's device: STATUS_BUSY names those who use it, and still do after PATIENCE seconds.  FORCE: whatever they
 * lose, and without what the server hasn't got yet.
 */
int detach_device(const struct state *state, bool force, unsigned patience, struct problem *problem);

#endif
