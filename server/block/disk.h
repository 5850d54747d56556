/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks: what drivers make and clients open.  A disk's driver is asked to open
 * it when the first user comes and to release it when the last one goes.
 * A disk lives as long as somebody has a reference: the list of disks, each of
 * its exports, and whoever found it there.
 */
#ifndef BLOCK_DISK_H
#define BLOCK_DISK_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <platter/driver.h>

#include "common/list.h"
#include "common/log.h"
#include "server/block/error.h"
#include "server/block/identity.h"
#include "server/block/limits.h"
#include "server/block/mark.h"
#include "server/block/open.h"
#include "server/block/queue.h"

struct args;
struct block;
struct patience;
struct request;

/* What a disk's driver has running on one reactor, which alone touches it, beside its requests. */
struct disk_io {
	unsigned operations;      /* file operations, and requests to lower disks, whose `done` is still to come */
	struct list_head timers;  /* for host/timer.c: those that haven't rung */
	/* The rest is for host/fd_io.c. */
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

/* Whether partitions become disks: not; they are still to be found; they were. */
enum disk_partitions { PARTITIONS_OFF, PARTITIONS_WANTED, PARTITIONS_READ };

/* Under the registry's lock. */
enum disk_state { DISK_ADDING, DISK_LIVE, DISK_REMOVING };

struct disk {
	struct platter_disk driver_side; /* first: a driver's pointer is ours */
	struct list_head link;           /* in the list of all disks */
	atomic_uint references;
	enum disk_state state;
	unsigned major, minor;           /* major 0: the driver has none */
	struct disk *whole;              /* of a partition: the disk that it is on, a reference; NULL */
	uint64_t start, length;          /* of a partition: where it lies there, bytes */
	struct disk *claimed_by;         /* the disk that stands on it, under the registry's lock; NULL */
	bool tied;                       /* stands on one that only its home reactor may call */
	enum disk_partitions partitions;
	bool emulates;                   /* takes unaligned requests: see unaligned.h */
	bool unlisted;                   /* neither it nor its partitions are exported by themselves */
	bool tls;                        /* its partitions are for clients with TLS only, as itself... */
	struct access *access;           /* ...and for whom this allows; NULL: everybody */
	const struct platter_driver *driver; /* a reference */
	struct args *args;
	char *name;
	char *description;
	struct identity identity;        /* under the registry's lock */
	atomic_bool read_only;           /* asked for, or found out when it was opened */
	unsigned home;                   /* the reactor that serves it, modulo how many there are, unless disk_any_thread() */
	struct queue *queues;            /* one for each reactor */
	struct disk_limits limits;       /* of its queues */
	uint64_t added_ns;               /* CLOCK_MONOTONIC: since then its requests are counted */
	struct platter_geometry geometry; /* checked; constant while the disk is open */
	atomic_uint_fast64_t capacity;   /* bytes; 0 when that isn't known before it is opened */
	struct marks marks;              /* what was changed since when */
	atomic_int failure;              /* 0 or -errno: see disk_failed() */
	struct open_state open;
	pthread_mutex_t calls;           /* the driver's operations that block, one at a time */
	bool removed;                    /* under `calls`: the driver has forgotten it */
	uint32_t events_ms;              /* how often check_events is called; 0: on request */
	uint64_t events_at;              /* CLOCK_MONOTONIC, ns: the next time; for events.c */
	struct disk_io *io;              /* one for each reactor */
};

/* Logs what has become of DISK, behind its name; the second one as log_ratelimited(). */
#define disk_log(whose, level, format, ...)                                                                                \
	log_message_about(&(struct log_subject){ .disk = (whose)->name }, LOG_LEVEL_##level, "%s: " format, (whose)->name, \
			  ##__VA_ARGS__)
#define disk_log_ratelimited(whose, level, format, ...)                                                             \
	log_ratelimited_about(&(struct log_subject){ .disk = (whose)->name }, level, "%s: " format, (whose)->name, \
			      ##__VA_ARGS__)

/* Has FN run on a reactor's thread, or once on each (DISK_EVERY_REACTOR), between its phases, and waits for that. */
typedef void disk_call(unsigned reactor, void (*fn)(struct block *block, void *argument), void *argument);
#define DISK_EVERY_REACTOR UINT_MAX

/* Stops the timers of IO on its reactor's thread, without calling their `done`; how many haven't come back yet. */
typedef unsigned disk_stop_timers(struct disk_io *io);

/* Before the first disk: how many reactors there will be, where drivers' open and release run, and what the host does. */
void disk_init(unsigned reactors, struct pool *control, disk_call *call, disk_stop_timers *stop_timers);

/*
 * Makes a disk with its driver's probe and adds it; a reference for the caller.
 * Gains a reference to DRIVER.  NAME NULL: the driver's name and the first free number.  Takes ARGS, also on
 * failure; DESCRIPTION NULL: the driver's.  May block; not on a reactor that serves clients.
 */
int disk_add(struct disk **ret, const struct platter_driver *driver, const char *name, const char *description,
	     struct args *args, bool read_only, struct platter_error *error);

/* The same for LENGTH bytes of WHOLE, an open disk, from START on, which lie within it. */
int disk_add_partition(struct disk **ret, struct disk *whole, const struct platter_driver *driver, const char *name,
		       const char *description, uint64_t start, uint64_t length, struct platter_error *error);

/* Under the registry's lock: whether somebody uses a partition of WHOLE. */
bool disk_partition_is_used(const struct disk *whole);

/* A partition of WHOLE, a reference; NULL when it has none. */
struct disk *disk_partition(const struct disk *whole);

/*
 * Removes DISK with its export and partitions when nobody uses it; nobody new is
 * let in meanwhile.  -EBUSY, with the reason, also when it is exported under another
 * name: everything is as it was.  Not on a reactor.
 */
int disk_remove(struct disk *disk, const struct patience *patience, struct platter_error *error);

/*
 * The parts of that.  disk_shut_begin() lets nobody new in, or changes nothing; FORCE: other exports don't
 * keep it.  disk_shut_end() has everybody leave, or lets others in again.  Then disk_drop() removes it.
 * disk_unshut() undoes either of the first two.
 */
int disk_shut_begin(struct disk *disk, bool force, const struct patience *patience, struct platter_error *error);
int disk_shut_end(struct disk *disk, const struct patience *patience, struct platter_error *error);
void disk_unshut(struct disk *disk);
void disk_drop(struct disk *disk);

/* Removes it however long that takes, with all exports. */
void disk_force_remove(struct disk *disk);

/* The same for all disks of DRIVER, which is complained of. */
void disk_remove_driver(const struct platter_driver *driver);

/* Every disk; none may be open. */
void disk_remove_all(void);

/* A reference; NULL when no disk has this name. */
struct disk *disk_find(const char *name);
struct disk *disk_get(struct disk *disk);
/* NULL is allowed. */
void disk_put(struct disk *disk);

/* Whether any driver's operation is running on reactor INDEX, on whose thread this is called. */
bool disk_any_operation(unsigned index);

/* Under the registry's lock: all disks, in the order they were added; whether a disk other than DISK has NAME. */
struct list_head *disk_list(void);
bool disk_name_is_other(const char *name, const struct disk *disk);

/* Its size in bytes; 0 when that isn't known before it is opened.  Any thread: it may change at any time. */
static inline uint64_t disk_capacity(const struct disk *disk)
{
	uint64_t bytes = atomic_load_explicit(&disk->capacity, memory_order_acquire);
	uint64_t whole;

	if (!disk->whole)
		return bytes;
	/* The whole disk may have shrunk. */
	whole = atomic_load_explicit(&disk->whole->capacity, memory_order_acquire);
	if (whole < disk->start)
		return 0;
	return bytes < whole - disk->start ? bytes : whole - disk->start;
}

/* Where its requests go: a partition's to the whole disk. */
static inline struct disk *disk_whole(struct disk *disk)
{
	return disk->whole ? disk->whole : disk;
}

/* Queues REQUEST, whose range is DISK's, on BLOCK's thread. */
void disk_submit(struct disk *disk, struct block *block, struct request *request);

/* Has FN run on the thread of the reactor that serves DISK.  Not on a reactor. */
void disk_on_home(struct disk *disk, void (*fn)(struct block *block, void *argument), void *argument);

/* Whether any reactor may serve it; while it is open. */
bool disk_any_thread(const struct disk *disk);

/*
 * The kernel or the driver failed to make data durable that was perhaps
 * acknowledged.  Nobody can tell which: from now on every FLUSH and FUA on
 * the disk fails, beyond release.
 */
void disk_failed(struct disk *disk, int error);
int disk_failure(const struct disk *disk);

/* Forgets that, and says so: FLUSH and FUA are tried again.  False when there was nothing to forget. */
bool disk_clear_failure(struct disk *disk);

/* Whether that happened to any disk so far. */
bool disk_any_failed(void);

#endif
