/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a disk is known by to clients that come back: a UUID, which stays the same as long as its content does.  It is
 * given with the export, or derived from the machine's identity and from what the driver says of the disk.
 */
#ifndef BLOCK_IDENTITY_H
#define BLOCK_IDENTITY_H

#include <stdbool.h>

struct disk;
struct export;
struct platter_error;

/* 8-4-4-4-12 digits, in small letters. */
#define IDENTITY_LENGTH 36

struct identity {
	char uuid[IDENTITY_LENGTH + 1]; /* "": none */
	bool given;                     /* by the administrator: the driver doesn't change it */
};

/*
 * Takes the machine's from the file at PATH, as machine-id(5) has it, before the first disk is made.  Where there is none
 * neither have disks that aren't given one, but those in memory, which the log says once.
 */
void identity_init(const char *path);

/* TEXT, a UUID in letters of either size, as it is written here; false when it is none. */
bool identity_parse(char uuid[IDENTITY_LENGTH + 1], const char *text);

/*
 * Completes what the driver's probe said: GIVEN is the disk's identity, if there is one; without either it is that of the
 * disk's name.  -ENOMEM.
 */
int identity_settle(struct disk *disk, const char *given, struct platter_error *error);

/* PART's: it follows from its disk's, and its NUMBER there.  -ENOMEM. */
int identity_settle_partition(struct disk *part, unsigned number, struct platter_error *error);

#endif
