/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols between modules: what one imports is what another exports, of the same version. */
#ifndef MODULE_MODULE_LINK_H
#define MODULE_MODULE_LINK_H

struct list_head;
struct module;
struct module_names;
struct platter_error;

/*
 * With the modules' lock held: whether MODULE, which isn't among MODULES yet, can be linked with them: what it
 * imports has its version and is for its license, and what it exports is new.  Its `uses` gets each exporter,
 * which has a user more.  Names that nobody exports go into UNKNOWN and are no error here, so that
 * module_symbols_check() can name them with those that the daemon lacks.
 * -EINVAL for another version; -EACCES; -EEXIST; -EBUSY; -ENOMEM.  Nothing is used then.
 */
int module_link_check(struct module *module, const struct list_head *modules, struct module_names *unknown,
		      struct platter_error *error);

/* With the modules' lock held: MODULE uses nobody any more.  Harmless if it never did. */
void module_link_drop(struct module *module);

/* Fills in MODULE's import slots when it is mapped.  -ENOEXEC when they aren't what its file said. */
int module_link_bind(struct module *module, struct platter_error *error);

#endif
