/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limits of a disk's queue and what can be set of them, under the names of
 * the kernel's /sys/block/DISK/queue.  They are kept with the disk; each of its
 * queues takes them over when it dispatches next.
 */
#ifndef BLOCK_LIMITS_H
#define BLOCK_LIMITS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/disk.h>

struct disk;
struct elevator;
struct platter_error;
struct queue;

/* What `nomerges` says, as in the kernel: all, only behind what is there, none. */
enum { QUEUE_MERGES_ALL = 0, QUEUE_MERGES_SIMPLE = 1, QUEUE_MERGES_NONE = 2 };

struct limits {
	const struct elevator *elevator;
	unsigned nr_requests;    /* that a connection may have in flight */
	unsigned queue_depth;    /* requests that the driver is given at a time */
	unsigned fair_depth;     /* ...of one connection, where others send some, too; see software_queue.h */
	unsigned max_sectors_kb; /* up to which requests are merged */
	unsigned max_segments;   /* likewise */
	unsigned nomerges;       /* QUEUE_MERGES_* */
	unsigned run_depth;      /* small requests of a sequential run that the driver is given at a time; 0: all */
	bool run_asked;          /* somebody set that: then it isn't tried out whether it pays */
	unsigned plug_us;        /* how long an idle disk waits for more to merge; 0: not at all */
	/* Of the elevator "deadline". */
	unsigned read_expire, write_expire; /* ms */
	unsigned writes_starved; /* batches of reads that changes may have to wait for */
	unsigned fifo_batch;     /* requests in a batch */
	unsigned async_depth;    /* changes that the driver is given at a time where reads come, too */
};

/* A disk's. */
struct disk_limits {
	pthread_mutex_t lock;
	struct limits limits;
	struct platter_geometry geometry; /* the driver's; zeroes before the disk is opened */
	atomic_uint generation;    /* goes up with every change */
	uint32_t asked;            /* bits, by attribute: somebody set it, so that a driver's own wishes don't count */
};

void limits_init(struct disk_limits *limits);
void limits_destroy(struct disk_limits *limits);

/* A disk has been opened, of GEOMETRY: what nobody set is as its driver wants it, and nothing exceeds what that takes. */
void limits_opened(struct disk_limits *own, const struct platter_geometry *geometry);

/* For queue.c: whether nothing has changed; takes over what has.  Its thread. */
bool limits_are_fresh(const struct queue *queue);
void limits_refresh(struct queue *queue);

/* The attributes, in order; NULL behind the last. */
const char *limits_name(unsigned index);

/* The value of the attribute at INDEX, as the kernel would show it, with its end. */
void limits_show(struct disk_limits *own, unsigned index, char *text, size_t size);

/* Sets the attribute NAME; -ENOENT, -EACCES for one that is only to be read, -EINVAL, with the reason. */
int limits_set(struct disk_limits *own, const char *name, const char *value, struct platter_error *error);

/* A new disk, not yet open, gets what was set in FROM. */
void limits_adopt(struct disk_limits *own, const struct disk_limits *from);

#endif
