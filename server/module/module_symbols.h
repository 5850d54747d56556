/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The symbols that a module wants from outside.  ld.so would refuse it, too, but
 * name one missing symbol only, and lend it whatever the daemon's libraries have.
 */
#ifndef MODULE_MODULE_SYMBOLS_H
#define MODULE_MODULE_SYMBOLS_H

#include <stdbool.h>

#include "server/block/error.h"
#include "server/module/module_file.h"
#include "server/module/module_info.h"
#include "server/module/module_names.h"

/*
 * Whether each symbol that FILE, a native one, leaves undefined is there: KNOWN
 * says it is the host's (CONTEXT is passed on), or a library has it that the
 * module was linked with, or the C library.  Weak ones may be missing.  Names
 * that begin with platter_ are the host's or nobody's.
 *
 * They are looked up, with their versions, in those of the libraries that this
 * process has loaded (RTLD_NOLOAD): nothing runs.  What else the daemon happens
 * to be linked with doesn't count, but for the sanitizers' runtimes, which must
 * have been there from the start: they end a process that loads them.
 *
 * A symbol that a library may have which isn't loaded yet is left to ld.so,
 * which, with RTLD_NOW, binds all symbols of module and libraries before any
 * constructor of theirs runs, or refuses the module.  It names one symbol then:
 * with READ, or when others are unknown anyway, such libraries are read as files,
 * to name them all.  (Which file ld.so would take isn't certain, so this is for
 * messages, not for decisions.  And what is left to ld.so it may also find in a
 * library of the daemon's that the module wasn't linked with.)
 *
 * 0, or -ENOENT: "cache: Unknown symbol platter_foo (err -2), platter_bar (err
 * -2)" in ERROR, with INFO's name of the module; -ENOEXEC: damaged; -ENOMEM.
 * UNKNOWN is the caller's; it may hold names already, which are as unknown, and
 * gets all, even those that ERROR has no room for.  May block.
 */
int module_symbols_check(const struct module_file *file, const struct module_info *info, bool read,
			 bool (*known)(void *context, const char *name), void *context, struct module_names *unknown,
			 struct platter_error *error);

/* What an error's text has no room for: the same message with all names of UNKNOWN, up to 64 KiB.  The caller's; NULL: no memory. */
char *module_symbols_message(const char *module, const struct module_names *unknown);

/* Logs all of them, in as many lines as it takes. */
void module_symbols_log(const char *module, const struct module_names *unknown);

#endif
