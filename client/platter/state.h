/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of each attached device, in a file of its own, for whoever
 * comes after its supervisor, for the other verbs and for udev's rules:
 * STATE_DIRECTORY/nbdN has lines PLATTER_KEY="VALUE".  Nothing in it is secret.
 */
#ifndef CLIENT_STATE_H
#define CLIENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/platter/handshake.h"
#include "client/platter/settings.h"

/* Tests have another. */
#ifndef STATE_DIRECTORY
#define STATE_DIRECTORY "/run/platter/client"
#endif

struct state {
	struct settings settings;  /* with which it was attached; complete */
	unsigned index;            /* of its device */
	unsigned links;            /* connections */
	uint64_t size;             /* bytes */
	uint16_t flags;            /* NBD_FLAG_..., of the server and of the settings */
	uint32_t minimum, maximum; /* block sizes, bytes */
	char identity[HANDSHAKE_UUID + 1]; /* of the export; "": the server tells none */
	char *backend;             /* what the kernel was told the device is of */
};

void state_free(struct state *state);

/* Whoever attaches holds this while it looks for what there is and makes more: a descriptor; closing it lets go. */
int state_lock(struct problem *problem);

int state_write(const struct state *state, struct problem *problem);
void state_remove(unsigned index);

/*
 * That of the device which DEVICE names ("nbd0", "/dev/nbd0") or which has that name; STATUS_NOT_ATTACHED.  One that
 * has ended, or has become somebody else's, isn't found.
 */
int state_find(struct state *state, const char *name, struct problem *problem);

/* All of them, by number of device; to be freed, each and the array. */
unsigned state_list(struct state **ret);

#endif
