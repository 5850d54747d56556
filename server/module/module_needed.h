/* SPDX-License-Identifier: BSD-2-Clause */
/* The libraries that come into the daemon with a module: their code runs with the same rights. */
#ifndef MODULE_MODULE_NEEDED_H
#define MODULE_MODULE_NEEDED_H

#include "server/block/error.h"
#include "server/module/module_file.h"

/*
 * Whether ld.so can find what FILE needs only where the system keeps its libraries, as it does a name without a
 * path (they are as trustworthy as the C library), or in files that module_trust() would let the daemon run.
 * So a search path of its own (DT_RPATH, DT_RUNPATH) is refused, and what is needed by a path must be absolute
 * and trusted, as must be in turn what that needs by a path.
 *
 * 0, or -EPERM, -EINVAL or what module_trust() and module_file_open() fail with.  Nothing runs.  May block.
 */
int module_needed_trust(const struct module_file *file, struct platter_error *error);

#endif
