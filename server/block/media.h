/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may change about a disk while it runs: its size, its medium, and what
 * its driver's own commands do.  Everything here calls the driver and may
 * block: not for reactors.
 */
#ifndef BLOCK_MEDIA_H
#define BLOCK_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/driver.h>

struct disk;

/* What an ioctl had to say; ends in a newline, unless it is empty. */
struct platter_reply {
	char *text;    /* the caller frees it; NULL: nothing */
	bool failed;   /* there was no memory for all of it */
};

/* Asks the driver how large DISK is now; *CHANGED: it is another size than before.  -EOPNOTSUPP, or the driver's error. */
int media_revalidate(struct disk *disk, bool *changed, struct platter_error *error);

/* Makes DISK BYTES large; -EBUSY when it is to be smaller and somebody uses it. */
int media_resize(struct disk *disk, uint64_t bytes, struct platter_error *error);

/* Asks the driver what has happened and does what follows from it; the events, PLATTER_EVENT_*. */
unsigned media_check_events(struct disk *disk);

/* Runs COMMAND, which the driver must list. */
int media_ioctl(struct disk *disk, const char *command, unsigned argc, const char *const *argv,
		struct platter_reply *reply, struct platter_error *error);

#endif
