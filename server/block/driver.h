/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers there are. */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <stddef.h>

#include <platter/driver.h>

#include "common/list.h"

/* The host's copy of what was registered. */
struct driver {
	struct list_head link;              /* in the list of all, in the order of names */
	struct platter_driver driver;
	struct platter_disk_ops ops;        /* what driver.ops points to */
	unsigned own_major;                 /* registered with the driver; 0: the name had one */
	const struct platter_driver *origin; /* whose copy it is */
	unsigned users;                     /* who has a reference, disks among them; under the registry's lock */
};

/* Registers the drivers that are linked in; -errno. */
int driver_init(void);
/* Forgets all drivers; there are no disks any more. */
void driver_exit(void);

/* A reference to the driver of this name; NULL when there is none. */
const struct platter_driver *driver_get(const char *name);
/* One more; returns DRIVER. */
const struct platter_driver *driver_ref(const struct platter_driver *driver);
/* NULL is allowed. */
void driver_put(const struct platter_driver *driver);

/* Under the registry's lock: all, as a list of driver.link. */
struct list_head *driver_list(void);

#endif
