/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of modules and parameters, and the patterns that are their aliases.
 * '-' and '_' are the same letter in all of them, as in the kernel.
 */
#ifndef MODULE_MODNAME_H
#define MODULE_MODNAME_H

#include <stdbool.h>
#include <stddef.h>

bool modname_equal(const char *a, const char *b);

/* The same, of the first LENGTH bytes of B. */
bool modname_equal_length(const char *a, const char *b, size_t length);

/* Whether NAME can be a module's or a parameter's: letters, digits, '-' and '_', at least one. */
bool modname_valid(const char *name);

/* Writes '_' for '-'; returns NAME. */
char *modname_underscores(char *name);

/* The same in a pattern, but for what is in brackets, where '-' is a range.  False: a bracket isn't closed. */
bool modname_pattern(char *pattern);

/* Whether NAME, of at most 255 bytes, matches PATTERN, which went through modname_pattern(), as fnmatch(3) has it. */
bool modname_matches(const char *pattern, const char *name);

/*
 * Whether PATH, of a module's file, is one that an index can hold and that
 * stays below its directory: relative, without "." and "..", blanks, colons
 * and the like, ending in NAME.so.
 */
bool modname_is_path(const char *path);

/* The name in such a PATH, a copy that the caller frees, with '_' for '-'; NULL: no memory. */
char *modname_of_path(const char *path);

/* Whether a module named NAME may be in the file PATH, which is such a path. */
bool modname_is_of_path(const char *name, const char *path);

#endif
