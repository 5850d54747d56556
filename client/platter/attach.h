/* SPDX-License-Identifier: BSD-2-Clause */
/* From settings to a device that is attached and kept alive. */
#ifndef CLIENT_ATTACH_H
#define CLIENT_ATTACH_H

#include <stdbool.h>

#include "client/platter/problem.h"
#include "client/platter/settings.h"

struct attach {
	struct settings settings; /* complete */
	bool patient;             /* goes on trying while no server answers */
	/* The device is usable, PATH; or it won't be, PROBLEM, and PATH is NULL.  Called once, by any thread. */
	void (*report)(void *argument, const char *path, const struct problem *problem);
	void *argument;
};

/* How long udev and the node of a new device may take. */
#define ATTACH_SETTLE_SECONDS 30

/*
 * Attaches the export, or adopts the device that it is attached as and that nobody keeps alive, and stays until it is
 * detached, or a signal comes.  Takes SETTINGS.
 */
enum status attach_run(struct attach *attach);

/*
 * Whether SETTINGS are attached, and kept alive, already: PATH, of DEVICE_PATH bytes; STATUS_OTHER: that name is attached
 * to something else; STATUS_NOT_ATTACHED.
 */
int attach_find(const struct settings *settings, char *path, struct problem *problem);

#endif
