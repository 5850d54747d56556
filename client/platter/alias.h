/* SPDX-License-Identifier: BSD-2-Clause */
/* The names that udev's rules give a device in /dev/disk. */
#ifndef CLIENT_ALIAS_H
#define CLIENT_ALIAS_H

#include <stddef.h>

struct uri;

#define ALIAS_BY_ID "/dev/disk/by-id/nbd-"
#define ALIAS_BY_PATH "/dev/disk/by-path/"
/* Bytes of a name in by-path: with a partition's number it has to be a file's. */
#define ALIAS_SIZE 240

/*
 * That of URI's export in by-path, in TEXT of ALIAS_SIZE bytes: what udev lets no name have is \xXX, as in its own names.
 * -ENAMETOOLONG: it has none.
 */
int alias_by_path(char *text, const struct uri *uri);

#endif
