/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sparse file in memory that libblkid gets to see instead of a disk.  What isn't copied reads as zeroes there, so that
 * leaving something out is the way to keep it from libblkid.
 *
 * A GPT's copy has the disk's size and lies where it lies on the disk.  An MBR's is always one of 512-byte sectors, with
 * the first 512 bytes of each sector that matters: libblkid multiplies an MBR's sector numbers by the sector size in 32
 * bits, which turns those beyond 2 TiB into others.  Its size is 4 TiB whatever the disk's, for nothing an MBR can name
 * lies beyond, and libblkid forgets the whole table when it looks for a nested one that does.
 */
#ifndef BLOCK_PARTITION_COPY_H
#define BLOCK_PARTITION_COPY_H

#include <stdbool.h>
#include <stdint.h>

struct partition_source;
struct platter_error;

#define PARTITION_COPY_MOST_ENTRIES 1024 /* of a GPT; they are usually 128, and libblkid would take 4 GiB of them */

/* A GPT's header, as far as it matters here. */
struct partition_gpt {
	uint64_t entries; /* the sector where they start */
	uint32_t count;
	uint32_t size; /* of each, in bytes */
};

struct partition_copy {
	int fd;
	bool gpt;             /* what there seems to be; otherwise an MBR */
	unsigned sector_size; /* of the file */
	unsigned unit;        /* the disk's bytes for each of the 512-byte sectors that libblkid counts in */
};

/* 1: COPY is there and needs partition_copy_end(); 0: nothing looks like a table.  -errno with the reason. */
int partition_copy_make(struct partition_copy *copy, const struct partition_source *source, struct platter_error *error);

void partition_copy_end(struct partition_copy *copy);

/* Reads the header in HEADER, which is a sector's first 512 bytes; false when there is none. */
bool partition_copy_parse_gpt(const unsigned char *header, struct partition_gpt *gpt);

/* Whether SOURCE has a GPT made for the other sector size.  0, 1 or -errno with the reason. */
int partition_copy_is_foreign(const struct partition_source *source, struct platter_error *error);

#endif
