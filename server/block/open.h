/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and releasing disks.  The driver's calls run on the control pool and
 * may take long; whoever wants the disk hears of it on its own thread.
 */
#ifndef BLOCK_OPEN_H
#define BLOCK_OPEN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/error.h"
#include "server/engine/pool.h"

struct disk;
struct patience;

enum open_phase { DISK_CLOSED, DISK_OPENING, DISK_OPEN, DISK_RELEASING };

/* A disk's users.  All of it under the lock. */
struct open_state {
	pthread_mutex_t lock;
	pthread_cond_t idle;        /* closed, without users, while it is shut */
	bool shut;                  /* nobody new is let in */
	bool claimed;               /* only the disk that stands on it is */
	enum open_phase phase;
	unsigned users;             /* including those that wait for it to open */
	struct list_head openers;   /* those that wait */
	struct pool_job job;        /* the driver's call that is running */
	struct pool *pool;          /* where it runs */
};

/* One user-to-be; it stays in place until `done`. */
struct disk_opener {
	/*
	 * On ENGINE's thread; without an engine, on any, and it must not call back
	 * here.  RESULT 0: the caller is a user of the disk until disk_release().
	 */
	void (*done)(struct disk_opener *opener);
	struct engine *engine;
	int result;
	struct platter_error error; /* why not */
	struct engine_message message;
	struct list_head link;
};

/* Closed, without users; open and release will run on CONTROL. */
void open_init(struct open_state *state, struct pool *control);
void open_destroy(struct open_state *state);

/* Becomes a user of DISK; concurrent openers share one call of the driver. */
void disk_open(struct disk *disk, struct disk_opener *opener);

/* The same for a thread that may wait. */
int disk_open_wait(struct disk *disk, struct platter_error *error);

/*
 * For the disk that stands on this one: keeps all others out, if nobody is in; then opens it for itself, waiting;
 * lets others in again.
 */
bool open_claim(struct disk *disk);
int disk_open_claimed(struct disk *disk, struct platter_error *error);
void open_unclaim(struct disk *disk);

/* Ends a use.  Any thread. */
void disk_release(struct disk *disk);

/* How many use it, or wait for it to open. */
unsigned disk_users(struct disk *disk);

/*
 * Lets nobody new in and waits for the users to leave, as long as PATIENCE lasts; then
 * until the driver has released it.  -EBUSY, with the reason: it is as it was.
 */
int open_shut(struct disk *disk, const struct patience *patience, struct platter_error *error);
/* Its halves, for several disks at once: keeps all others out; waits for those who are in. */
int open_shut_begin(struct disk *disk, const struct patience *patience, struct platter_error *error);
int open_shut_end(struct disk *disk, const struct patience *patience, struct platter_error *error);
void open_unshut(struct disk *disk);

#endif
