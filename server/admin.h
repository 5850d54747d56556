/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an administrator may change: the command line before the server runs,
 * the control socket while it does.  Everything here may block and is not for
 * reactors that serve clients.
 */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include <stdint.h>

struct export;
struct platter_error;

/* Adds what TEXT, a spec, says.  RET, unless it is NULL: a reference to the export, NULL for a disk without one. */
int admin_add(const char *text, struct export **ret, struct platter_error *error);

/*
 * Removes the export NAME, and its disk if that has the same name.  One that
 * clients use stays (-EBUSY), unless they leave within WAIT_NS; until then
 * nobody new is let in.
 */
int admin_remove(const char *name, uint64_t wait_ns, struct platter_error *error);

#endif
