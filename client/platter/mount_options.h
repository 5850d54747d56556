/* SPDX-License-Identifier: BSD-2-Clause */
/* What is behind -o of `mount -t nbd`: options of platter, of mount(8) and of file systems; see mount.nbd(8).  Pure. */
#ifndef CLIENT_MOUNT_OPTIONS_H
#define CLIENT_MOUNT_OPTIONS_H

#include <stddef.h>

#include "client/platter/problem.h"

/* More options of `platter attach` than there are keys, each once. */
#define MOUNT_OPTIONS_MOST 32

struct mount_options {
	char *words[MOUNT_OPTIONS_MOST]; /* of `platter attach`, "--KEY=VALUE" */
	unsigned count;                  /* of them */
	char *type;                      /* of the file system; NULL: whatever is found */
	char *rest;                      /* for mount(8); "": nothing */
};

int mount_options_parse(struct mount_options *options, const char *text, struct problem *problem);

/* Half-built ones, too. */
void mount_options_free(struct mount_options *options);

#endif
