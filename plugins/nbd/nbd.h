/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver nbd: a disk that another NBD server has.  Requests become jobs, in the requests' own data, which go to the
 * connection that has the fewest; when it is lost they go to another one, or wait for the next.  Each connection has a
 * thread, the only one to touch its handle of libnbd.
 */
#ifndef PLUGINS_NBD_NBD_H
#define PLUGINS_NBD_NBD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>
#include <platter/driver.h>

#include "plugins/nbd/upstream.h"

#define MOST_CONNECTIONS 16

/* In a request's data, from submit to its end; in one list at a time. */
struct job {
	struct job *next, **back;
	struct platter_request *request; /* NULL: the FLUSH of a release */
	struct connection *connection;   /* that has it */
	void *bounce;                    /* of a READ or WRITE in several segments: its data in one piece */
	uint64_t lost_ns;                /* when it was lost for the first time; 0: never */
	uint64_t covers;                 /* FLUSH: so many of the disk's changes had ended before it was sent */
	bool told;                       /* EXTENTS: some of them */
	bool done;                       /* all but the FLUSH that stands for FUA */
};

_Static_assert(sizeof(struct job) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

/* First come first served; any of them may be taken out. */
struct jobs {
	struct job *first, **last;
};

struct connection {
	struct nbd_disk *disk;
	unsigned number;           /* from 1 on, for people */
	int wake;                  /* an eventfd; -1: nobody does */
	pthread_t thread;
	/* The thread's: */
	struct nbd_handle *handle; /* NULL: there is no connection */
	struct jobs sent;
	bool over;                 /* the server said that it is about to end */
	bool useful;               /* something was answered */
	unsigned seed;
	atomic_uint load;          /* jobs that it has */
	/* Under the disk's lock; the thread alone writes `ready` and `reason`: */
	struct jobs queue;         /* to be sent */
	bool ready;
	bool asleep;               /* it wants to be woken when there is a job */
	unsigned times;            /* that it was made */
	char reason[UPSTREAM_REASON]; /* why it was lost, or couldn't be made; "": it is there, or nobody knows yet */
};

struct nbd_disk {
	const char *name;          /* the host's */
	char *uri;
	unsigned wanted;           /* connections */
	uint64_t patience_ns;      /* how long requests wait for the server; UINT64_MAX: for ever */
	unsigned count;            /* connections while it is open, else 0 */
	struct connection connections[MOST_CONNECTIONS];
	atomic_bool stopping;
	atomic_uint_fast64_t changes; /* that have ended */

	pthread_mutex_t lock;      /* of all that follows, and is held for moments */
	pthread_cond_t ended;      /* the FLUSH of a release */
	struct upstream upstream;  /* as found when it was opened */
	unsigned ready;            /* connections */
	uint64_t lost_ns;          /* CLOCK_MONOTONIC: since when there is none; 0: there is one */
	bool given_up;             /* nothing waits any more, until there is one again */
	struct jobs waiting;       /* while there is none */
	uint64_t flushed;          /* changes that are durable */
	struct job release;
	bool released;
	int release_error;
};

#endif
