/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an administrator may change: the command line before the server runs,
 * the control socket while it does.  Everything here may block and is not for
 * reactors that serve clients.
 */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include <stdbool.h>

#include "server/roster.h"

struct definition;
struct export;
struct patience;
struct platter_error;

/* Adds what TEXT, a spec, says.  RET, unless it is NULL: a reference to the export, NULL for a disk without one. */
int admin_add(const char *text, enum roster_origin origin, struct export **ret, struct platter_error *error);

/*
 * Has the export that DEFINITION names, and its partitions, follow its adjustable keys from now on; clients that are
 * connected keep what they were allowed.  Its other keys must be those that it has.
 */
int admin_change(const struct definition *definition, struct platter_error *error);

/*
 * Reads the partition tables of the disks that were added before the reactors
 * ran; those that are added later are read at once.  admin_wants_scan(): whether there are any.
 */
bool admin_wants_scan(void);
void admin_scan_all(void);

/*
 * Removes the export NAME, and its disk if that has the same name.  One that
 * clients use stays (-EBUSY), unless they leave while PATIENCE lasts; until then
 * nobody new is let in.  DRAIN: they are made to, when they have their answers.
 */
int admin_remove(const char *name, const struct patience *patience, bool drain, struct platter_error *error);

#endif
