/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a disk is durable: a sparse file, in memory or on another disk. */
#ifndef PLUGINS_VOLATILE_STORE_H
#define PLUGINS_VOLATILE_STORE_H

#include <stdint.h>

#include <platter/driver.h>

#define STORE_SECTOR 512

/*
 * Opens the file PATH, which is made if it isn't there and locked, or, if that is NULL, memory that is shown under
 * NAME.  *BYTES: its size; 0 for that of a file that exists.  A descriptor, or -errno.
 */
int store_open(const char *name, const char *path, uint64_t *bytes, struct platter_error *error);

/* 0 or -errno. */
int store_read(int store, uint64_t sector, uint64_t count, void *data);
int store_write(int store, uint64_t sector, const void *data);

#endif
