/* SPDX-License-Identifier: BSD-2-Clause */
/* Exports: the names under which clients find disks, and with which rights. */
#ifndef BLOCK_EXPORT_H
#define BLOCK_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/list.h"

struct disk;

struct export {
	struct list_head link; /* in export_list() */
	char *name;
	struct disk *disk;
	bool read_only;
};

/* Exports DISK under NAME, which nothing else has; -ENOMEM. */
int export_add(const char *name, struct disk *disk, bool read_only);
void export_remove_all(void);

/* NAME isn't terminated; an empty one means the first export.  NULL when there is none. */
struct export *export_find(const char *name, size_t length);

/* All exports, in the order they were added. */
struct list_head *export_list(void);

#endif
