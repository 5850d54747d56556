/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGINS_FILE_FILE_H
#define PLUGINS_FILE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/driver.h>

struct file_disk {
	char *path;
	int fd;
	bool block_device;
	bool read_only;
	bool direct;      /* O_DIRECT */
	bool rotational;
	bool local;       /* a file system that waits for nobody but this machine's disks */
	uint64_t size;    /* as last seen */
	uint32_t sector;  /* what offsets and lengths must be multiples of */
	uint32_t memory;  /* likewise addresses */
	/* What the file turned out not to support; its home reactor's. */
	bool no_punch, no_zero_range;
};

/* probe.c: opens the file and finds out what it is. */
int file_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error);
void file_remove(struct platter_disk *disk);
int file_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error);
int file_release(struct platter_disk *disk, struct platter_error *error);

/* file.c */
void file_submit(struct platter_disk *disk, struct platter_request *request);

#endif
