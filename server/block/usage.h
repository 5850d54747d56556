/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses a disk, for those who are refused because of it. */
#ifndef BLOCK_USAGE_H
#define BLOCK_USAGE_H

#include "server/block/error.h"

struct disk;

/*
 * -EBUSY, with the reason: DISK is in use by the disk that stands on it, by its partitions that are used themselves, or
 * by clients, of which there are as many as these leave of its USERS.  Takes the registry's lock.
 */
int usage_fail(const struct disk *disk, unsigned users, struct platter_error *error);

/* The same with the lock held. */
int usage_fail_locked(const struct disk *disk, unsigned users, struct platter_error *error);

/* The same for what is called NAME and used by CLIENTS only. */
int usage_fail_clients(const char *name, unsigned clients, struct platter_error *error);

#endif
