/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command line says of an export: [NAME=]DRIVER[:ARG][,KEY=VALUE...],
 * or a bare path instead of DRIVER[:ARG], which means the file driver, or
 * NAME=disk:DISK, which means one that there is, under another name.  A
 * backslash takes the meaning from the comma, equal sign, colon or backslash behind it.
 */
#ifndef SERVER_SPEC_H
#define SERVER_SPEC_H

#include <stdbool.h>

#include "server/block/limits.h"

struct access;
struct args;
struct platter_driver;
struct platter_error;

struct spec {
	const struct platter_driver *driver; /* a reference; NULL: another export of `disk` */
	char *disk;        /* the name of one that there is */
	char *name;        /* NULL: the driver's and a number */
	char *description; /* NULL: the driver's, or the disk's */
	char *uuid;        /* NULL: derived, or the disk's */
	bool read_only;
	bool tls;          /* for clients that use TLS only */
	struct access *access; /* who may use it; NULL: everybody */
	bool emulates;     /* takes unaligned requests */
	bool unlisted;     /* the disk gets no export */
	bool partitions;   /* its partitions become disks */
	struct disk_limits limits; /* of its queue, as far as they are set */
	struct args *args; /* of the driver; whoever takes them sets this to NULL */
	bool checking;     /* nothing is loaded for it */
};

/* What attributes of a queue begin with. */
extern const char spec_queue_prefix[sizeof("queue.")];

int spec_parse(struct spec *spec, const char *text, struct platter_error *error);
/* The same without loading a module: where one would have the driver, it is NULL, and its keys aren't looked at. */
int spec_check(struct spec *spec, const char *text, struct platter_error *error);
void spec_free(struct spec *spec);

#endif
