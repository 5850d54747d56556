/* SPDX-License-Identifier: BSD-2-Clause */
/* What a module must be to be loaded: all that can be seen before any of its code runs. */
#ifndef MODULE_MODULE_CHECK_H
#define MODULE_MODULE_CHECK_H

#include "server/block/error.h"
#include "server/module/module_file.h"
#include "server/module/module_info.h"

/*
 * Whether the module FILE, which says INFO of itself, may be loaded into this
 * process as far as the file can tell: it is a shared object for this machine
 * and this ABI, its structures aren't larger than ours, it defines
 * platter_module and no other name of the host's, it has no text relocations,
 * no executable stack, no memory that is writable and executable, and nothing
 * that keeps dlclose() from unloading it.
 *
 * 0, or -ENOEXEC with the first kind of problem in ERROR: all names or
 * structures that have this one, as far as there is room.
 */
int module_check(const struct module_file *file, const struct module_info *info, struct platter_error *error);

#endif
