/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exports: the names under which clients find disks, and with which rights.
 * Whoever holds one, or its disk, has a reference; removing it only takes it
 * out of the list.
 */
#ifndef BLOCK_EXPORT_H
#define BLOCK_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"

struct disk;
struct platter_error;

struct export {
	struct list_head link; /* in export_list() */
	unsigned references;   /* under the lock of them all */
	char *name;
	char *description;     /* NULL: the disk's */
	struct disk *disk;     /* a reference */
	bool read_only;
};

/* Exports DISK under NAME.  DESCRIPTION NULL: the disk's.  -EEXIST; -ENODEV when the disk is being removed; -ENOMEM. */
int export_add(const char *name, const char *description, struct disk *disk, bool read_only);

/* The one that NAME (not terminated) belongs to; an empty name means the first.  A reference, or NULL. */
struct export *export_get(const char *name, size_t length);
/* NULL is allowed. */
void export_put(struct export *export);

/*
 * Takes EXPORT, which the caller has a reference to, out of the list when
 * no session uses it; WAIT_NS: how long they have to leave, while nobody new
 * finds it.  -EBUSY, with the reason: it is in the list again.
 */
int export_remove(struct export *export, uint64_t wait_ns, struct platter_error *error);

/* Takes all exports of DISK out of the list, used or not. */
void export_remove_disk(const struct disk *disk);
void export_remove_all(void);

/* Sessions that use it, while it is in the list. */
unsigned export_users(const struct export *export);

const char *export_description(const struct export *export);

/* Under the registry's lock: whether there is one of this name, another one of DISK, and all, in the order they were added. */
bool export_exists(const char *name);
struct export *export_other(const struct disk *disk, const struct export *than);
struct list_head *export_list(void);

#endif
