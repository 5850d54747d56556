/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether what a server offers can be, or can go on being, a device. */
#ifndef CLIENT_VERIFY_H
#define CLIENT_VERIFY_H

#include "client/platter/link.h"
#include "client/platter/state.h"

/* Fills STATE with what EXPORT is as a device; refuses what the kernel's driver can't do. */
int verify_new(struct state *state, const struct link *link, struct problem *problem);

/* Whether LINK leads to what STATE's device, of SIZE bytes now, is of: no smaller, no less able, and nothing else. */
int verify_same(const struct state *state, uint64_t size, const struct link *link, struct problem *problem);

#endif
