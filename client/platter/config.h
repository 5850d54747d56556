/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is attached by a name alone, see platter-attach.d(5):
 *   SERVICE_DIRECTORY/NAME.conf     of what was attached by hand, and has a service,
 *   /etc/platter/attach.d/NAME.conf INI files whose keys are the long options of `platter attach`,
 *   /etc/nbdtab                     nbd-client's.
 * The first that has the name counts.
 */
#ifndef CLIENT_CONFIG_H
#define CLIENT_CONFIG_H

#include <stdbool.h>

#include "client/platter/problem.h"
#include "client/platter/settings.h"

/* Where the latter two are, unless the environment says PLATTER_ATTACH_D and PLATTER_NBDTAB. */
#define CONFIG_DIRECTORY "/etc/platter/attach.d"
#define CONFIG_NBDTAB "/etc/nbdtab"

/* One name of these two, or what should have been one. */
struct config {
	struct settings settings; /* complete, if nothing is wrong */
	bool manual;              /* not to be attached at boot */
	char *file;
	unsigned line;            /* in it, from 1; 0: all of it */
	char notice[256];         /* what in it does nothing; "" */
	struct problem problem;   /* what is wrong, with its place; STATUS_OK */
};

/* Whether ARGUMENT, of `platter attach`, is a name or a device, and no URI. */
bool config_is_name(const char *argument);

/* Sets what the files say of NAME; STATUS_USAGE: nothing, or something is wrong with it. */
int config_load(struct settings *settings, const char *name, struct problem *problem);

/* All, in the order in which they count; *RET is to be freed by config_list_free().  Their number; -1: no memory. */
int config_list(struct config **ret, struct problem *problem);
void config_list_free(struct config *list, int count);

#endif
