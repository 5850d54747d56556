/* SPDX-License-Identifier: BSD-2-Clause */
/* From a device that is attached to none, without loss. */
#ifndef CLIENT_DETACH_H
#define CLIENT_DETACH_H

#include <stdbool.h>

#include "client/platter/problem.h"

struct state;

/* How long the last writes, and then the kernel, may take. */
#define DETACH_SECONDS 30

struct detach {
	bool force;         /* whatever users lose, and without what the server hasn't got yet */
	bool unmounts;      /* file systems, and ends swap */
	unsigned patience;  /* seconds that users may take to be gone */
};

/* Detaches STATE's device: STATUS_BUSY names those who use it. */
int detach_device(const struct state *state, const struct detach *how, struct problem *problem);

#endif
