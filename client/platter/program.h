/* SPDX-License-Identifier: BSD-2-Clause */
/* Running other programs to their end. */
#ifndef CLIENT_PROGRAM_H
#define CLIENT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Instead of the name of a program: the one that runs. */
#define PROGRAM_SELF "/proc/self/exe"

/*
 * Runs PATH, looked for as a shell does, with WORDS, of which NULL is the last.  What it prints goes to OUTPUT, of SIZE bytes,
 * without the end of its last line, unless OUTPUT is NULL; QUIET: what it complains of to nobody.  Its exit status; -1: it
 * couldn't be run, or a signal has ended it.
 */
int program_run(const char *path, const char *const *words, char *output, size_t size, bool quiet);

#endif
