/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration texts: a backslash takes the meaning from the character behind it. */
#ifndef COMMON_ESCAPE_H
#define COMMON_ESCAPE_H

/* The first of STOPS in TEXT that no backslash precedes, or the text's end. */
char *escape_find(char *text, const char *stops);

/* Removes the backslashes, in place; returns TEXT. */
char *escape_remove(char *text);

/* Cuts TEXT at the first plain one of STOPS; returns what is behind it, NULL when there is none. */
char *escape_cut(char *text, const char *stops);

/* A copy of TEXT in which nothing has a meaning any more; the caller frees it.  NULL: no memory. */
char *escape_add(const char *text);

#endif
