/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes data durable: FLUSH, and changes with FUA.
 *
 * The kernel reports a failed write-back once per open file, to whichever sync
 * comes first; and a sync covers only writes that were complete when it
 * started.  Therefore they run in groups, generations: those that arrive while a
 * group runs wait for the next one, a group's FLUSHes share one sync, its members
 * are answered together when all are back, and if the disk failed one of them,
 * it failed all.  That failure stays with the disk: see disk_failed().
 *
 * A change with FUA that is alone in its group goes to the driver as it is;
 * several go without, and one sync follows them all.
 */
#ifndef BLOCK_FLUSH_H
#define BLOCK_FLUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"

struct queue;
struct request;

struct flush {
	struct list_head waiting; /* members of the next group */
	struct list_head sharing; /* FLUSHes of the running group that its sync answers */
	struct list_head done;    /* members of the running group that are back */
	unsigned running;         /* members that aren't */
	struct request *sync;     /* what syncs once the changes are back; NULL: nothing, or it has started */
	uint64_t synced;          /* when that did, as request->submitted; 0: it hasn't */
	int error;                /* the disk's failure in this group */
};

void flush_init(struct flush *flush);

/* Whether REQUEST is a FLUSH or has FUA. */
bool flush_concerns(const struct request *request);

/* REQUEST, which is one, waits for the next group. */
void flush_add(struct queue *queue, struct request *request);

/* One of OWNER's that wait for that, which waits no longer; NULL when there is none. */
struct request *flush_take_waiting(struct flush *flush, const void *owner);

/* Starts the next group unless one runs or none waits: whether there is anything new to dispatch. */
bool flush_start(struct queue *queue);

/* Whether the end of REQUEST, a FLUSH or with FUA, means that the disk may have lost what it acknowledged. */
bool flush_is_disk_failure(const struct request *request);

/* REQUEST, a member of the running group, is back. */
void flush_member_back(struct queue *queue, struct request *request);

/* A member of the running group is none any more: it ends without having been tried. */
void flush_member_gone(struct queue *queue);

#endif
