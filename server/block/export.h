/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exports: the names under which clients find disks, and with which rights.
 * A session that has one is its user; whoever else holds one has a reference.
 */
#ifndef BLOCK_EXPORT_H
#define BLOCK_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/list.h"

struct access;
struct disk;
struct patience;
struct platter_error;

struct export {
	struct list_head link; /* in export_list() */
	/* Under the registry's lock: */
	unsigned references;   /* the list's among them, and each user's */
	unsigned users;        /* sessions */
	bool removing;         /* nobody new finds it, but its name is still taken */
	struct export *successor; /* has its place in the list, and counts its users, too; a reference; NULL */

	char *name;
	char *description;     /* NULL: the disk's */
	char *uuid;            /* likewise: its identity */
	struct disk *disk;     /* a reference */
	bool read_only;
	bool tls;              /* for clients that use TLS only */
	struct access *access; /* who may use it; NULL: everybody */
};

/*
 * Exports DISK under NAME, for clients with TLS only, or for all, and that ACCESS allows, of which it takes a
 * reference.  DESCRIPTION, UUID NULL: the disk's.  -EEXIST; -ENODEV when the disk is being removed; -ENOMEM.
 */
int export_add(const char *name, const char *description, const char *uuid, struct disk *disk, bool read_only, bool tls,
	       struct access *access);

/*
 * For sessions: the one that NAME (not terminated) belongs to; an empty name means the first.  Of those for clients with
 * TLS there are none without.  NULL when there is none.
 */
struct export *export_use(const char *name, size_t length, bool tls);
/* NULL is allowed. */
void export_unuse(struct export *export);

/* A reference to the one called NAME; NULL. */
struct export *export_get(const char *name);
/* NULL is allowed. */
void export_put(struct export *export);

/*
 * Removes EXPORT when no session uses it any more; nobody new finds it
 * meanwhile.  -EBUSY, with the reason: it is as it was.
 */
int export_remove(struct export *export, const struct patience *patience, struct platter_error *error);

/* Its halves, for whoever has users leave in between: nobody new finds it; then it goes when they have, or is as it was. */
int export_shut(struct export *export, struct platter_error *error);
int export_remove_shut(struct export *export, const struct patience *patience, struct platter_error *error);

/*
 * Puts another in EXPORT's place, of the same name and disk, with other rules for clients to come.  Those that use it
 * keep it.  -ENOENT, -ENOMEM.
 */
int export_replace(struct export *export, const char *description, bool tls, struct access *access);

/* Removes all exports of DISK, used or not. */
void export_remove_disk(const struct disk *disk);
void export_remove_all(void);

/* Of the exports of DISK's partitions, by their own names, one with other rules than DISK's; a reference.  NULL: there is none. */
struct export *export_of_partition(const struct disk *disk);

const char *export_description(const struct export *export);

/* Under the registry's lock: the identity that clients are told, "" when the disk has none. */
const char *export_uuid(const struct export *export);

/* Under the registry's lock: whether there is one of this name, one of DISK that isn't called NAME, and all, in the order they were added. */
bool export_exists(const char *name);
struct export *export_other(const struct disk *disk, const char *name);
struct list_head *export_list(void);

#endif
