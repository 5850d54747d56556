/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's partition table: MBR with its logical partitions, or GPT.
 *
 * libblkid parses.  It wants a file, so it gets one in memory that holds copies
 * of what tables consist of (partition_copy.h).  All of it comes from whoever
 * wrote the disk, so what libblkid makes of it is checked again.
 */
#ifndef BLOCK_PARTITION_H
#define BLOCK_PARTITION_H

#include <stddef.h>
#include <stdint.h>

struct platter_error;

/*
 * Reads LENGTH bytes at OFFSET into BUFFER, which is aligned to 4096: 0 or
 * -errno.  Both are multiples of the sector size and lie within the disk.
 */
typedef int partition_read(void *context, uint64_t offset, void *buffer, size_t length);

struct partition_source {
	const char *name;     /* the disk's, for the log */
	partition_read *read; /* called up to a few hundred times, with up to 64 KiB each */
	void *context;
	uint64_t bytes;       /* the disk's size; what is left behind the last whole sector counts for nothing */
	unsigned sector_size; /* 512 or 4096: the unit of everything in a table */
};

struct partition {
	unsigned number;        /* as the kernel's: from 1, logical partitions from 5, with gaps where a table has them */
	uint64_t start, length; /* bytes, multiples of the sector size */
	char type[37];          /* GPT: a GUID in lower case; MBR: "0x83" */
	char uuid[37];          /* GPT: a GUID; MBR: the disk's id and the number, "0a1b2c3d-01"; "" when there is none */
	char label[128];        /* GPT only: UTF-8, but any; "" when there is none or it is broken */
};

/*
 * Finds up to MOST partitions, in the order of their numbers as far as the table has it.  Returns how many: 0 as well
 * when there is no table, for example because a file system takes the whole disk.  -errno, with the reason, when reading
 * failed or the table as a whole is broken (a protective MBR without a valid GPT).
 *
 * Every partition that is returned has bytes and lies within the disk; they may overlap.  A partition that doesn't is left
 * out with a warning in the log, those of nested tables (BSD's) and an extended partition itself without one.
 *
 * Blocks; any thread.
 */
int partition_scan(const struct partition_source *source, struct partition *out, unsigned most,
		   struct platter_error *error);

#endif
