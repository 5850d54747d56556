/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which module needs which: found by the symbols that they import and export.
 * Pure; it knows neither files nor how the symbols were read.
 */
#ifndef MODULE_MODDEP_H
#define MODULE_MODDEP_H

#include <stddef.h>

struct platter_error;

/* What a module's file says of it.  Lists end with a NULL; a NULL list is empty. */
struct moddep_module {
	const char *name;            /* PLATTER_MODULE's */
	const char *path;            /* NAME.so, below the directory of modules and relative to it */
	const char *const *exports;  /* symbols, without their versions; any may come several times */
	const char *const *imports;
	const char *const *aliases;  /* patterns, as PLATTER_ALIAS has them */
	const char *const *softdeps; /* as PLATTER_SOFTDEP has them: several names in one, separated by blanks */
};

struct moddep;

/*
 * Finds out who needs whom.  MODULES stay the caller's, as long as *RET.
 * -ELOOP when modules need each other ("... a -> b -> a"); -EEXIST when two have
 * one name; -EINVAL when a path, alias or name cannot be written into an index;
 * -ENOMEM.  Symbols that a module both exports and imports don't count.
 */
int moddep_new(const struct moddep_module *modules, size_t count, struct moddep **ret, struct platter_error *error);
void moddep_free(struct moddep *dep);

/* The modules it was made of; their number is *COUNT. */
const struct moddep_module *moddep_modules(const struct moddep *dep, size_t *count);

/*
 * The INDEX-th module to load before MODULE (its number in the table), NULL
 * behind the last: all that it needs, directly or not, each behind what it
 * needs itself.
 */
const struct moddep_module *moddep_before(const struct moddep *dep, size_t module, size_t index);

/*
 * The INDEX-th thing that is wrong but doesn't keep the rest from working, NULL
 * behind the last: a symbol that nobody exports, with the module that needs it;
 * a symbol that two modules export, with both (the first one's is taken).
 */
const char *moddep_warning(const struct moddep *dep, size_t index);

#endif
