/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a module's file, open as a descriptor, is one whose code the daemon may run. */
#ifndef MODULE_MODULE_TRUST_H
#define MODULE_MODULE_TRUST_H

#include "server/block/error.h"

/*
 * Whether FD is a regular file of root's or of this process's effective user,
 * writable by nobody else (an access control list shows as the group's rights),
 * and of a module's size; and whether no directory above it lets everybody
 * rename what is in it, as one that is writable by all and not sticky does.
 *
 * The file is judged by its descriptor and loaded through it, so whoever may
 * change a directory can at most choose which file of a trusted owner is at
 * PATH.  Directories of a group (as /usr/local/lib) or of other users (a build
 * tree in a container) are therefore left to the administrator.
 *
 * 0, or -EPERM, -EINVAL (no regular file), -EFBIG, or what fstat(2), readlink(2)
 * fail with; ERROR names PATH, or the directory.  It doesn't keep FD.  Any thread.
 */
int module_trust(int fd, const char *path, struct platter_error *error);

/* The same, of whatever size, for another kind of file that the daemon believes; WHAT names it, as in "a module". */
int module_trust_file(int fd, const char *path, const char *what, struct platter_error *error);

#endif
