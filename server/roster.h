/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who asked for which export, and how it was defined: what a reload compares
 * the configuration with.  Partitions aren't in it.  Any thread.
 */
#ifndef SERVER_ROSTER_H
#define SERVER_ROSTER_H

#include "common/list.h"

struct definition;

enum roster_origin { ROSTER_COMMAND_LINE, ROSTER_CONFIG, ROSTER_HAND };

/* An export, or a disk without one, that is there under NAME; SPEC is how it was asked for.  Replaces what was known of it. */
void roster_add(const char *name, const char *spec, enum roster_origin origin);
/* The same of a configuration's, which has a name. */
void roster_set(const struct definition *definition);
/* It has gone.  Harmless where it isn't known. */
void roster_remove(const char *name);

/* A copy, and its origin; NULL: it isn't known, or there is no memory. */
struct definition *roster_find(const char *name, enum roster_origin *origin);

/* Adds copies of those that the configuration asked for to RET, the newest first. */
void roster_configured(struct list_head *ret);

void roster_free(void);

#endif
