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
	bool share;       /* whatever else uses it */
	bool removable;   /* can be ejected: then fd is -1 */
	bool wanted_read_only;
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
/* Finds out how large it is now. */
int file_read_size(struct file_disk *file, struct platter_error *error);

/* probe.c: opens the file at `path`, which must be closed. */
int file_attach(struct file_disk *file, struct platter_error *error);
void file_detach(struct file_disk *file);

/*
 * probe.c: tells the host what the disk is: the path, absolute, but not where a link leads, for that of
 * /dev/disk/by-id/... is another device's name after the next start.
 */
int file_identify(struct platter_disk *disk, const struct file_disk *file, struct platter_error *error);

/* media.c: another size, another file. */
int file_revalidate(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error);
int file_resize(struct platter_disk *disk, uint64_t bytes, struct platter_error *error);
unsigned file_check_events(struct platter_disk *disk);
int file_ioctl(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv,
	       struct platter_reply *reply, struct platter_error *error);
extern const struct platter_command file_commands[];

/* file.c */
void file_submit(struct platter_disk *disk, struct platter_request *request);

#endif
