/* SPDX-License-Identifier: BSD-2-Clause */
/* Modules' files: where they are, what they say of themselves, and which they need. */
#ifndef CLIENT_LOOKUP_H
#define CLIENT_LOOKUP_H

#include <jansson.h>

#include "server/block/error.h"
#include "server/module/module_info.h"

/*
 * The paths of what NAME stands for, an array: NAME itself, if it is one; the file of the loaded module; else those
 * that modprobe would load, by name or alias, from the server's directory of modules, or without a server from the
 * one that this was built for.  Empty: there are none, and the complaint was made.
 */
json_t *lookup_files(const char *name);

/* Reads the module at PATH.  INFO needs no preparation, and module_info_free() in any case; -errno with the reason. */
int lookup_read(const char *path, struct module_info *info, struct platter_error *error);

/*
 * The names of the modules whose symbols the one at PATH imports, an array; null when that isn't known, for no index
 * beside PATH has this module.
 */
json_t *lookup_depends(const char *path, const struct module_info *info);

#endif
