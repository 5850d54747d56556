/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What keeps a device alive: it watches duplicates of the sockets that the
 * kernel uses, and where one dies, gives the kernel another.  Never in the way
 * of the data: when it is gone the device goes on, and the next one adopts it.
 */
#ifndef CLIENT_SUPERVISOR_H
#define CLIENT_SUPERVISOR_H

#include "client/platter/inquiry.h"
#include "client/platter/netlink.h"
#include "client/platter/receiver.h"
#include "client/platter/redial.h"
#include "client/platter/state.h"

struct supervised {
	int fd;                  /* -1: dead, or unknown, since another supervisor had it */
	enum { SUPERVISED_UNKNOWN, SUPERVISED_ALIVE, SUPERVISED_DEAD, SUPERVISED_RETURNING } state;
	uint64_t since_ns;       /* of CLOCK_MONOTONIC */
	unsigned reconnects;
	struct redial *redial;   /* while it is dead */
	bool uncertain;          /* whether it is: a substitute is offered for a while */
	uint64_t offered_ns;     /* since when */
	char peer[DIAL_TEXT];
	char tls[LINK_TLS];      /* as a link has it */
	char reason[512];        /* why it was lost, or couldn't be had, the last time; "" */
};

struct supervisor {
	struct state state;
	struct dial addresses;   /* that the first connection had to choose from */
	struct netlink *netlink;
	int events;              /* of the kernel's driver */
	struct supervised links[SETTINGS_MOST_CONNECTIONS];
	struct inquiry inquiry;
	int bell;                /* of redials */
	int signals;
	bool ending;
	struct redial *probe;    /* looks whether the export has grown */
	uint64_t probe_at_ns;
	struct receivers receivers;
	uint64_t receivers_at_ns; /* when to look at them; UINT64_MAX: no need */
	uint64_t taken_ns;       /* when the kernel took the last socket in place of a dead one */
};

/* Before a device is attached or adopted; supervisor_free() is due in any case. */
int supervisor_prepare(struct supervisor *supervisor, struct problem *problem);

/* Connection WHICH of the device uses FD, which is the supervisor's from now on. */
void supervisor_keep(struct supervisor *supervisor, unsigned which, int fd);

/* One that has no socket for some of its connections, since another supervisor had them: finds out whether any of them died. */
void supervisor_adopt(struct supervisor *supervisor);

/* Until the device is detached, or a signal ends it. */
void supervisor_run(struct supervisor *supervisor);

void supervisor_free(struct supervisor *supervisor);

/* What "status" is answered; NULL: no memory. */
json_t *supervisor_status(const struct supervisor *supervisor);

#endif
