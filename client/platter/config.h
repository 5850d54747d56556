/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is attached by a name alone: /etc/platter/attach.d/NAME.conf, an INI file whose keys are the long options of
 * `platter attach`, or what was attached by hand and is kept in SERVICE_DIRECTORY.
 */
#ifndef CLIENT_CONFIG_H
#define CLIENT_CONFIG_H

#include <stdbool.h>

#include "client/platter/problem.h"

struct settings;

#define CONFIG_DIRECTORY "/etc/platter/attach.d"

/* Whether ARGUMENT, of `platter attach`, is such a name, and no URI. */
bool config_is_name(const char *argument);

/* Sets what the file of NAME says; STATUS_USAGE: there is none, or something is wrong with it. */
int config_load(struct settings *settings, const char *name, struct problem *problem);

/* Likewise, of the file PATH. */
int config_read(struct settings *settings, const char *path, struct problem *problem);

#endif
