/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What depmod leaves in a directory of modules, for modprobe, as kmod's:
 *
 *	modules.dep       a.so: b.so c.so       all that a.so needs, each before what it needs itself
 *	modules.alias     alias WILDCARD MODULE
 *	modules.softdep   softdep MODULE pre: A B
 *
 * Paths are relative to the directory.  The latter two are in modconf.h's
 * language.  No lock: read by one thread, then looked at by any.
 */
#ifndef MODULE_MODINDEX_H
#define MODULE_MODINDEX_H

#include <stddef.h>

#include "server/module/modconf.h"

struct moddep;
struct modindex;
struct platter_error;

/* Writes the three files, each in one step. */
int modindex_write(const char *directory, const struct moddep *dep, struct platter_error *error);

/*
 * Reads them.  Without a modules.dep: -ENOENT; the others may be missing.
 * -EINVAL: "FILE:LINE: what is wrong".
 */
int modindex_read(const char *directory, struct modindex **ret, struct platter_error *error);

/* The same from the text of a modules.dep only; FILE is its name for messages. */
int modindex_parse(const char *file, const char *text, struct modindex **ret, struct platter_error *error);
void modindex_free(struct modindex *index);

/* MODULE as the index spells it (with '_' for '-'), and its path below the directory; NULL: the index hasn't got it. */
const char *modindex_name(const struct modindex *index, const char *module);
const char *modindex_path(const struct modindex *index, const char *module);

/*
 * The I-th module (from 0) to load before MODULE, NULL behind the last or when
 * there is no such module: all that it needs, each behind what it needs itself.
 */
const char *modindex_before(const struct modindex *index, const char *module, size_t i);

/* What modules say of themselves: modules.alias and modules.softdep. */
const struct modconf *modindex_conf(const struct modindex *index);

/*
 * The I-th module that NAME stands for, NULL behind the last, as modprobe
 * finds it: through CONF's aliases; else by its own name; else through the
 * modules' aliases.  No alias leads to a blacklisted module.  All those found
 * are to be loaded.
 */
const char *modindex_resolve(const struct modindex *index, const struct modconf *conf, const char *name, size_t i);

#endif
