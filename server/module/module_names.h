/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of names that owns them: a module's aliases, the symbols that it lacks. */
#ifndef MODULE_MODULE_NAMES_H
#define MODULE_MODULE_NAMES_H

#include <stddef.h>

/* All zero: empty. */
struct module_names {
	char **names;
	size_t count;
	size_t room;
};

/* Copies the LENGTH bytes at NAME, which hold no NUL, to the list's end.  0 or -ENOMEM. */
int module_names_add(struct module_names *list, const char *name, size_t length);

/* Frees the names; the list is empty again. */
void module_names_free(struct module_names *list);

/*
 * Writes "a, b, c" into OUT (SIZE bytes, always terminated), fit for a message: as many names as fit, from the
 * one with the number FROM on; with 256 bytes that is at least one.  Behind each stands AFTER.  Returns the number
 * of the first that isn't there, or the list's count.
 */
size_t module_names_fill(char *out, size_t size, const struct module_names *list, size_t from, const char *after);

/*
 * Writes "a, b, c" into OUT (SIZE bytes, at least 32, always terminated), fit for a message; when they
 * don't all fit "a, b and 7 more".  Behind each name stands AFTER.
 */
char *module_names_join(char *out, size_t size, const struct module_names *list, const char *after);

#endif
