/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes that were checked are the bytes that run: a module is mapped from a
 * copy of what was read, in memory that nobody can change any more.  Whoever
 * writes into its file while it is loaded, as cp(1) does, changes only the file.
 */
#ifndef MODULE_MODULE_IMAGE_H
#define MODULE_MODULE_IMAGE_H

#include "server/block/error.h"
#include "server/module/module_file.h"

/*
 * A descriptor of a sealed copy of what FILE holds, called NAME.so in
 * /proc/PID/maps; the caller closes it.  -errno, with the reason in ERROR.
 */
int module_image(const struct module_file *file, const char *name, struct platter_error *error);

#endif
