/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that stand on others; the rest is in include/platter/lower.h. */
#ifndef BLOCK_LOWER_H
#define BLOCK_LOWER_H

#include <platter/lower.h>

struct platter_lower {
	struct disk *disk;         /* a reference, and a use */
	struct disk *upper;
};

#endif
