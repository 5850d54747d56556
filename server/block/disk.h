/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks: what drivers make and clients open.  A disk's driver is asked to open
 * it when the first user comes and to release it when the last one goes.
 * A disk lives as long as somebody has a reference: the list of disks, each of
 * its exports, and whoever found it there.
 */
#ifndef BLOCK_DISK_H
#define BLOCK_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <platter/driver.h>

#include "common/list.h"
#include "server/block/error.h"
#include "server/block/open.h"
#include "server/block/queue.h"

struct args;
struct block;

/* File I/O of a disk on one reactor, for host/fd_io.c. */
struct disk_io {
	/* Buffered writes: one batch runs on the I/O pool, the rest waits. */
	struct list_head writes_waiting, writes_running;
	struct list_head commit;  /* in its reactor's list while the turn collects */
	struct pool_job job;
	uint64_t slow_until;      /* CLOCK_MONOTONIC, ns: until then no write is tried on the reactor */
	/* Other operations that block: so many run on the pool, the rest waits. */
	unsigned running;
	struct list_head waiting;
};

/* What drivers see of a disk. */
struct platter_disk {
	void *data;
	const char *name;
};

/* Under the registry's lock. */
enum disk_state { DISK_ADDING, DISK_LIVE, DISK_REMOVING };

struct disk {
	struct platter_disk driver_side; /* first: a driver's pointer is ours */
	struct list_head link;           /* in the list of all disks */
	atomic_uint references;
	enum disk_state state;
	unsigned major, minor;           /* major 0: the driver has none */
	const struct platter_driver *driver; /* a reference */
	struct args *args;
	char *name;
	char *description;
	bool read_only;                  /* asked for, or found out when it was opened */
	unsigned home;                   /* the reactor that serves it, modulo how many there are, unless disk_any_thread() */
	struct queue *queues;            /* one for each reactor */
	struct platter_geometry geometry; /* checked; constant while the disk is open */
	atomic_uint_fast64_t capacity;   /* bytes; 0 when that isn't known before it is opened */
	atomic_int failure;              /* 0 or -errno: see disk_failed() */
	struct open_state open;
	pthread_mutex_t calls;           /* the driver's operations that block, one at a time */
	bool removed;                    /* under `calls`: the driver has forgotten it */
	uint32_t events_ms;              /* how often check_events is called; 0: on request */
	uint64_t events_at;              /* CLOCK_MONOTONIC, ns: the next time; for events.c */
	struct disk_io *io;              /* one for each reactor */
};

/* Has FN run once on each reactor's thread, between its phases, and waits for all. */
typedef void disk_each_block(void (*fn)(struct block *block, void *argument), void *argument);

/* Before the first disk: how many reactors there will be, and where drivers' open and release run. */
void disk_init(unsigned reactors, struct pool *control, disk_each_block *each_block);

/*
 * Makes a disk with its driver's probe and adds it; a reference for the caller.
 * Gains a reference to DRIVER.  NAME NULL: the driver's name and the first free number.  Takes ARGS, also on
 * failure; DESCRIPTION NULL: the driver's.  May block; not on a reactor that serves clients.
 */
int disk_add(struct disk **ret, const struct platter_driver *driver, const char *name, const char *description,
	     struct args *args, bool read_only, struct platter_error *error);

/*
 * Removes DISK with its exports when nobody uses it; WAIT_NS: how long its users
 * have to leave, while nobody new is let in.  -EBUSY, with the reason:
 * everything is as it was.  Not on a reactor.
 */
int disk_remove(struct disk *disk, uint64_t wait_ns, struct platter_error *error);

/* Removes all disks of DRIVER, which is complained of; waits for those that are in use.  Not on a reactor. */
void disk_remove_driver(const struct platter_driver *driver);

/* Every disk; none may be open. */
void disk_remove_all(void);

/* A reference; NULL when no disk has this name. */
struct disk *disk_find(const char *name);
struct disk *disk_get(struct disk *disk);
/* NULL is allowed. */
void disk_put(struct disk *disk);

/* Under the registry's lock: all disks, in the order they were added; whether a disk other than DISK has NAME. */
struct list_head *disk_list(void);
bool disk_name_is_other(const char *name, const struct disk *disk);

/* Its size in bytes; 0 when that isn't known before it is opened.  Any thread: it may change at any time. */
static inline uint64_t disk_capacity(const struct disk *disk)
{
	return atomic_load_explicit(&disk->capacity, memory_order_acquire);
}

/* Whether any reactor may serve it; while it is open. */
bool disk_any_thread(const struct disk *disk);

/*
 * The kernel or the driver failed to make data durable that was perhaps
 * acknowledged.  Nobody can tell which: from now on every FLUSH and FUA on
 * the disk fails, beyond release.
 */
void disk_failed(struct disk *disk, int error);
int disk_failure(const struct disk *disk);

/* Whether that happened to any disk so far. */
bool disk_any_failed(void);

#endif
