/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols between modules: what one imports is what another exports, of the same version. */
#ifndef MODULE_MODULE_LINK_H
#define MODULE_MODULE_LINK_H

struct module;
struct platter_error;

/*
 * With the modules' lock held: whether MODULE, which isn't in the table yet, can be linked: what it imports is
 * there, for its license, and what it exports is new.  Its `uses` gets each exporter, which has a user more.
 * -ENOENT, naming all unknown symbols; -EINVAL for another version; -EACCES; -EEXIST; -ENOMEM.
 */
int module_link_check(struct module *module, struct platter_error *error);

/* Fills in MODULE's import slots when it is mapped.  -ENOEXEC when they aren't what its file said. */
int module_link_bind(struct module *module, struct platter_error *error);

#endif
