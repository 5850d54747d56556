/* SPDX-License-Identifier: BSD-2-Clause */
/* Libraries that aren't loaded, read as files: nothing of them runs. */
#ifndef MODULE_MODULE_LIBRARY_H
#define MODULE_MODULE_LIBRARY_H

#include "server/module/module_file.h"

/*
 * Reads the library NAME, which outlives FILE, from where ld.so finds it: a path, or a name in its search path, but for
 * ld.so.cache.  FILE needs no preparation, and module_file_close() in any case.  -ENOENT, or another
 * -errno when it is no library for this machine.
 */
int module_library_read(struct module_file *file, const char *name);

#endif
