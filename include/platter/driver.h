/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver: a name, the keys it understands and how it makes a disk.
 * The configuration `vm1=file:/srv/vm1.img,direct=on` asks the driver `file`
 * for the disk `vm1` with the keys path (the first of its keys) and direct.
 */
#ifndef PLATTER_DRIVER_H
#define PLATTER_DRIVER_H

#include <stdbool.h>

#include <platter/disk.h>

/* Modules call what is declared here. */
#pragma GCC visibility push(default)

enum platter_key_type {
	PLATTER_KEY_STRING = 0,
	PLATTER_KEY_SIZE = 1,   /* 512, 4K, 1G, 10GiB */
	PLATTER_KEY_BOOL = 2,   /* on, off; the bare key means on */
	PLATTER_KEY_NUMBER = 3, /* decimal */
};

struct platter_key {
	const char *name;
	enum platter_key_type type;
	const char *help;     /* one line, for --help */
};

/* The keys of one disk as configured; unknown ones and wrong types were refused before. */
struct platter_args;

/*
 * The value of KEY, or OTHERWISE when it wasn't given; a string lives as long
 * as the disk.  KEY is of the type that the function's name says, which the
 * driver declared.  Any thread.
 */
const char *platter_args_string(const struct platter_args *args, const char *key, const char *otherwise);
uint64_t platter_args_size(const struct platter_args *args, const char *key, uint64_t otherwise);
uint64_t platter_args_number(const struct platter_args *args, const char *key, uint64_t otherwise);
bool platter_args_bool(const struct platter_args *args, const char *key, bool otherwise);

/*
 * Writes the reason of a failure, unless ERROR is NULL, and returns -CODE (CODE: an
 * errno), for `return platter_fail(error, ENOENT, "%s: no such file", path)`.
 */
int platter_fail(struct platter_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct platter_driver {
	uint32_t size;                      /* sizeof(struct platter_driver) */
	const char *name;                   /* as in the configuration */
	const char *description;            /* one line of UTF-8, shown to clients with the export */
	const struct platter_key *keys;     /* ended by a NULL name; DRIVER:ARG sets the first one */
	const struct platter_disk_ops *ops; /* of all its disks */
	/*
	 * Makes a disk: checks ARGS and keeps its data with platter_disk_set_data().
	 * READ_ONLY: no writes are wanted.  Runs where disks are configured, never
	 * on a reactor that serves clients; may block.
	 */
	int (*probe)(struct platter_disk *disk, const struct platter_args *args, bool read_only,
		     struct platter_error *error);
	/* Undoes probe; the disk isn't open.  Not called after a failed probe. */
	void (*remove)(struct platter_disk *disk);
};

/*
 * Makes DRIVER known: from now on disks can be made with it.  The host copies
 * the structure with its strings and operations.  The driver gets a major number of
 * its own unless its name was registered before.  -EBUSY when there is a driver
 * or device of this name already; -EINVAL for what is incomplete or larger than the host
 * knows; -ENOMEM.  Any thread.
 */
int platter_register_driver(const struct platter_driver *driver);

/* Its disks are removed first, with a complaint: a driver in use isn't to be unregistered.  Any thread that may wait. */
void platter_unregister_driver(const struct platter_driver *driver);

/*
 * Enters NAME into the device table under MAJOR (1 to 511; 0: a free one, from
 * 254 down).  The disks of the driver of this name have that major; drivers
 * that are linked in are registered by the host.  0, or the major that was
 * chosen for 0; -EBUSY when the major or the name is taken, or none is left;
 * -EINVAL, -ENOMEM.  Any thread.
 */
int platter_register_blkdev(unsigned major, const char *name);

/* Frees MAJOR again, if NAME has it.  Any thread. */
void platter_unregister_blkdev(unsigned major, const char *name);

#pragma GCC visibility pop

#endif
