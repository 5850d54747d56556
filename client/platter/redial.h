/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that tries until it has a connection which may take a dead one's place. */
#ifndef CLIENT_REDIAL_H
#define CLIENT_REDIAL_H

#include <stdbool.h>

#include "client/platter/link.h"
#include "client/platter/state.h"

struct redial;

/* For how long it waits between two tries: a twentieth of the time that it has been trying, within these bounds. */
#define REDIAL_LEAST_NS UINT64_C(100000000)
#define REDIAL_MOST_NS UINT64_C(5000000000)

/*
 * Begins; ADDRESSES are tried before the resolver is asked.  STATE and ADDRESSES stay until redial_end().  With HANDSHAKE_GO it
 * goes on until it has succeeded; with HANDSHAKE_INFO it tries once.  BELL, an eventfd, is rung when it is over.  NULL: no thread.
 */
struct redial *redial_begin(const struct state *state, const struct dial *addresses, enum handshake_goal goal, int bell);

/* Whether it is over; *LINK is a connection then, the caller's, or closed where there is none. */
bool redial_is_over(struct redial *redial, struct link *link);

/* Why the last try failed; "": none has. */
void redial_reason(struct redial *redial, char *text, size_t size);

/* Calls it off, waits for the thread and frees it; NULL is allowed. */
void redial_end(struct redial *redial);

#endif
