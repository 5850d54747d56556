/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers there are. */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#include <platter/driver.h>

#include "common/list.h"

struct patience;
struct platter_error;

/* Of a name of a metadata context, with its end. */
#define DRIVER_CONTEXT_SIZE 96

/* The host's copy of what was registered. */
struct driver {
	struct list_head link;              /* in the list of all, in the order of names */
	struct platter_driver driver;
	struct platter_disk_ops ops;        /* what driver.ops points to */
	unsigned own_major;                 /* registered with the driver; 0: the name had one */
	const struct platter_driver *origin; /* whose copy it is */
	void *owner;                        /* the module that registered it; NULL: the host */
	/* Under the registry's lock: */
	unsigned users;                     /* who has a reference: the list, and its disks among them */
	bool shut;                          /* nobody new finds it */
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

/*
 * Owners: modules, of which this layer knows nothing but what they tell it.
 * OWNER_OF: whose memory ADDRESS is, NULL for nobody's; any thread, no lock is held.
 */
void driver_init_owners(void *(*owner_of)(const void *address));

/* What the calling thread registers from now on is OWNER's, whatever its address; NULL: no more. */
void driver_set_owner(void *owner);
/* Whose it is when the calling thread registers what lies at ADDRESS. */
void *driver_owner(const void *address);

/* Lets drivers of OWNER be found: until then they are registered, but nobody makes disks with them. */
void driver_open_owner(const void *owner);

/* A driver that OWNER has registered, a reference; NULL when there is none. */
const struct platter_driver *driver_of_owner(const void *owner);

/* Takes DRIVER out of the list, with its disks; not on a reactor. */
void driver_unregister(const struct platter_driver *driver);

/*
 * Removes all disks of OWNER's drivers when nobody uses any of them; nobody new is let in meanwhile, nor
 * makes disks.  -EBUSY, with the reason: all are as they were.  Not on a reactor.
 */
int driver_shut_owner(const void *owner, const struct patience *patience, struct platter_error *error);

/* How many disks they have; the users of these. */
unsigned driver_owner_disks(const void *owner);
unsigned driver_owner_users(const void *owner);

/* What a driver returned, RESULT, as 0 or -errno: what is neither is -EIO, with the reason. */
int driver_result(int result, struct platter_error *error);

/* Under the registry's lock: all, as a list of driver.link. */
struct list_head *driver_list(void);

#endif
