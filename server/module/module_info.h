/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a module's file says of itself (include/platter/module.h), for modinfo
 * and depmod as well as for loading: of any machine's modules, without running
 * them.  All text in it is valid UTF-8 without control characters.
 */
#ifndef MODULE_MODULE_INFO_H
#define MODULE_MODULE_INFO_H

#include <stdbool.h>
#include <stddef.h>

#include <platter/module.h>

#include "server/block/error.h"
#include "server/module/module_file.h"
#include "server/module/module_names.h"

/* Limits: what is longer or more is refused. */
#define MODULE_INFO_TEXT ((size_t)256 << 10) /* bytes of all texts */
#define MODULE_INFO_LINE 4096                /* bytes of one */
#define MODULE_INFO_NAME 64                  /* bytes of the module's name, with its NUL */
#define MODULE_INFO_ENTRIES 4096             /* aliases, soft dependencies, parameters, imports, exports: of each */

struct module_info_param {
	char *name;
	char *type;             /* as in the source, "int" or "ulong[]"; words of a later Platter's, too */
	char *description;
	unsigned permissions;
};

/* An import or an export. */
struct module_info_symbol {
	char *name;
	char *version;
	bool gpl_only;          /* of an export */
};

/* Owns all that it points to; nothing points into the file. */
struct module_info {
	char *name;             /* letters, digits, '_' and '-'; not empty */
	char *version;
	char *license;
	char *author;
	char *description;
	struct module_names aliases;
	struct module_names softdeps;   /* names of modules, one each */
	struct module_names needed;     /* libraries that it was linked with (DT_NEEDED) */
	struct module_info_param *params;
	size_t param_count;             /* no name twice */
	struct module_info_symbol *imports;
	size_t import_count;            /* no name with the same version twice */
	struct module_info_symbol *exports;
	size_t export_count;            /* no name twice */
	struct platter_abi abi;         /* in this machine's byte order; what a smaller one lacks is 0 */
};

/*
 * Reads FILE's description.  INFO needs no preparation, and module_info_free()
 * in any case.  0, or -ENOEXEC: it is no module, or what it says is malformed,
 * incomplete or too much; -ENOMEM.  ERROR says why.
 */
int module_info_read(struct module_info *info, const struct module_file *file, struct platter_error *error);

/*
 * Adds what the SIZE bytes of "key=value" texts say (the section .platter.info)
 * to INFO, which is all zero before the first.  Each ends in a NUL; more NULs
 * may stand between them; keys that aren't known are passed over.  PATH is for messages.
 */
int module_info_parse(struct module_info *info, const char *path, const char *text, size_t size,
		      struct platter_error *error);

/* Frees what INFO has; it may be all zero or NULL. */
void module_info_free(struct module_info *info);

#endif
