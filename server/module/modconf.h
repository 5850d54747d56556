/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration of modules, in modprobe.d's language:
 *
 *	alias WILDCARD MODULE             MODULE stands for the names that match
 *	options MODULE NAME[=VALUE] ...   parameters it is always given; "NAME=a b" keeps blanks
 *	blacklist MODULE                  no alias leads to it; its own name does
 *	softdep MODULE pre: A B post: C   loaded before and after it, if they are there
 *	load MODULE                       loaded at start (this one is ours)
 *
 * A '#' starts a comment line, a backslash ends a line that goes on in the
 * next.  '-' and '_' are the same in names.  depmod's modules.alias and
 * modules.softdep are in this language, too.
 *
 * No lock: filled by one thread, then read by any.
 */
#ifndef MODULE_MODCONF_H
#define MODULE_MODCONF_H

#include <stdbool.h>
#include <stddef.h>

struct platter_error;
struct modconf;

enum modconf_when {
	MODCONF_BEFORE, /* pre: */
	MODCONF_AFTER,  /* post: */
};

/* NULL: no memory. */
struct modconf *modconf_new(void);
void modconf_free(struct modconf *conf);

/* Adds the lines of TEXT; FILE is its name for messages.  -EINVAL: "FILE:LINE: what is wrong"; lines before it remain. */
int modconf_parse(struct modconf *conf, const char *file, const char *text, struct platter_error *error);

/* Adds a file, with the errors of text_file_read(), too. */
int modconf_read_file(struct modconf *conf, const char *path, struct platter_error *error);

/*
 * Adds the files *.conf of a directory in the order of their names' bytes.
 * Hidden ones and what isn't a regular file (or a link to one) are skipped; a
 * directory that isn't there is empty.
 */
int modconf_read_directory(struct modconf *conf, const char *directory, struct platter_error *error);

/*
 * Each returns the INDEX-th (from 0) of its answers, in the order of the lines,
 * NULL behind the last.  The strings are CONF's; in modules' names, all '-' are
 * written '_'.
 */

/* A module for which NAME is an alias, as modprobe has it: all that match count, aliases of aliases don't. */
const char *modconf_alias(const struct modconf *conf, const char *name, size_t index);

/* A parameter of MODULE, "NAME=VALUE" or "NAME", for param_parse(): of those that come twice the last counts. */
const char *modconf_option(const struct modconf *conf, const char *module, size_t index);

/* What to load before or after MODULE, a module's name or an alias. */
const char *modconf_softdep(const struct modconf *conf, const char *module, enum modconf_when when, size_t index);

/* A module to load at start; each comes once. */
const char *modconf_load(const struct modconf *conf, size_t index);

bool modconf_blacklisted(const struct modconf *conf, const char *module);

#endif
