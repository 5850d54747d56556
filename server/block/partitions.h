/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partitions as disks of their own: they are opened through the whole disk,
 * have its geometry, and put their requests into its queue.
 */
#ifndef BLOCK_PARTITIONS_H
#define BLOCK_PARTITIONS_H

struct disk;
struct platter_error;

/*
 * Reads DISK's partition table and adds a disk and, unless it is unlisted, an export for
 * each partition, NAMEp1 and so on.  How many; -errno, with the reason, when
 * the table cannot be read.  Blocks, and the reactors must run: not for their threads.
 */
int partitions_add(struct disk *disk, struct platter_error *error);

/* Removes the partitions of DISK, which is shut: nobody uses them. */
void partitions_remove(struct disk *disk);

#endif
