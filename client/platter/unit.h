/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of systemd's units; see systemd.unit(5), "string escaping".  Pure. */
#ifndef CLIENT_UNIT_H
#define CLIENT_UNIT_H

#include <stddef.h>

/* PREFIX, PATH as a name, and "." SUFFIX into TEXT of SIZE bytes; PATH is absolute, without "//".  -ENAMETOOLONG. */
int unit_of_path(char *text, size_t size, const char *prefix, const char *path, const char *suffix);

#endif
