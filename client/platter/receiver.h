/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the kernel reads the answers that come on a device's connections.
 * Its driver has a receiver for each, which never ends while the connection
 * lives, as work in a queue.  Where the kernel is too slow to make a thread for
 * one of them, the queue's single rescuer takes all that are pending, in their
 * order, and those behind the first wait until that one's connection ends.
 */
#ifndef CLIENT_RECEIVER_H
#define CLIENT_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "client/platter/settings.h"

/* How often to look: answers wait for three to four looks at most before something is done. */
#define RECEIVER_LOOK_NS UINT64_C(300000000)

/* One connection at one time. */
struct receiver_look {
	bool alive;         /* the kernel uses it, and its socket is here */
	uint64_t since_ns;  /* since when; with another time it is another socket */
	uint64_t came;      /* bytes since the socket was made; 0: nobody counts them */
	uint64_t waiting;   /* of these, not yet read */
	bool layered;       /* what was read may have been read by the TLS below the driver */
	bool busy;          /* requests may be on their way */
};

/* All of a device, from look to look; all zero in the beginning. */
struct receivers {
	struct receiver_look last[SETTINGS_MOST_CONNECTIONS];
	bool runs[SETTINGS_MOST_CONNECTIONS];      /* it has read an answer, and so has a thread for good */
	unsigned stuck[SETTINGS_MOST_CONNECTIONS]; /* looks in a row at which what waited before waited still */
};

/* What there is to see of the socket FD, all but whether it is alive and since when. */
void receiver_look(int fd, struct receiver_look *look);

/* Of COUNT connections, the one to give up, so that the receiver of another one, *WAITS, gets its turn; -1: none. */
int receiver_judge(struct receivers *receivers, const struct receiver_look *looks, unsigned count, unsigned *waits);

/* Whether there is no need to look again, by the last look, before there is another socket. */
bool receiver_settled(const struct receivers *receivers, unsigned count);

#endif
