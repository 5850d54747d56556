/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks with partition tables, byte by byte. */
#ifndef UNIT_TABLE_H
#define UNIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "server/block/partition.h"

#define TABLE_PAGE 4096
#define TABLE_MOST_PAGES 700

/* A disk of any size that holds zeroes but for a few pages. */
struct table_disk {
	uint64_t bytes;
	unsigned sector_size;
	uint64_t bad; /* reading this byte fails with EIO, when not 0 */
	unsigned reads; /* so far */
	unsigned pages;
	struct {
		uint64_t offset;
		unsigned char bytes[TABLE_PAGE];
	} page[TABLE_MOST_PAGES];
};

struct table_gpt_entry {
	uint64_t first, last; /* sectors; both 0: unused */
};

/* A GPT's header; table_gpt() fills in what is 0. */
struct table_gpt {
	uint64_t header, entries, first_usable, last_usable; /* sectors */
	uint32_t count, size;
	const struct table_gpt_entry *entry; /* the first COUNT_USED */
	unsigned used;
};

/* An empty disk; free() it. */
struct table_disk *table_disk_new(uint64_t bytes, unsigned sector_size);

/* The byte at OFFSET, to be changed. */
unsigned char *table_byte(struct table_disk *disk, uint64_t offset);
void table_put(struct table_disk *disk, uint64_t offset, const void *bytes, size_t length);
void table_put_number(struct table_disk *disk, uint64_t offset, uint64_t value, unsigned length);

/* A partition_read whose context is the disk; it fails the test when it is asked for what isn't there. */
partition_read table_read;

/* Makes SECTOR a boot record, and its entry INDEX that. */
void table_mbr(struct table_disk *disk, uint64_t sector, unsigned index, uint8_t type, uint32_t start, uint32_t size);

void table_protect(struct table_disk *disk);
void table_gpt(struct table_disk *disk, struct table_gpt gpt);
/* Protective MBR, GPT and backup, with 128 entries. */
void table_both_gpts(struct table_disk *disk, const struct table_gpt_entry *entry, unsigned used);
/* Makes the checksums of the header there and of its entries right again. */
void table_gpt_sum(struct table_disk *disk, uint64_t header);

#endif
