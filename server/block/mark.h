/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks: which parts of a disk were written, trimmed or zeroed since somebody set a mark there, for incremental backups.
 * They are in memory only.  A disk without any pays for them with one look at a flag.
 */
#ifndef BLOCK_MARK_H
#define BLOCK_MARK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/error.h"

struct extents;

/* What is told apart: a change of one byte makes so many dirty. */
#define MARK_GRANULE (64u << 10)
/* Of one disk. */
#define MARK_MOST 11
#define MARK_NAME_MOST 64

/* As a context's status: the range was changed (bit 0 in qemu's bitmaps, too). */
#define MARK_DIRTY (1u << 0)

struct mark;

/* Of one disk; any thread. */
struct marks {
	atomic_bool any;
	pthread_mutex_t lock;
	struct list_head list; /* in the order in which they were set */
};

struct mark_status {
	uint64_t since;        /* seconds since the epoch */
	uint64_t dirty;        /* bytes, of whole granules */
	bool all;              /* everything is dirty: what was changed got lost */
};

void marks_init(struct marks *marks);

/* With all marks, which those who use them keep.  Returns how many there were. */
unsigned marks_destroy(struct marks *marks);

/* Sets a mark: until now nothing is dirty.  -EEXIST, -EINVAL, -ENOSPC (too many), -ENOMEM. */
int marks_set(struct marks *marks, const char *name, struct platter_error *error);

/* -ENOENT.  For those who still use it everything is dirty from now on. */
int marks_unset(struct marks *marks, const char *name, struct platter_error *error);

/* LENGTH bytes at OFFSET were changed, or may have been.  After the change, and before anybody is told of it. */
void marks_change(struct marks *marks, uint64_t offset, uint64_t length);

/* All marks, each with a reference; how many. */
unsigned marks_use(struct marks *marks, struct mark *list[MARK_MOST]);
struct mark *mark_use(struct mark *mark);
/* NULL is allowed. */
void mark_unuse(struct mark *mark);

/* Valid as long as the mark. */
const char *mark_name(const struct mark *mark);

/* Tells EXTENTS, of a range that begins at OFFSET, what was changed: MARK_DIRTY or 0. */
void mark_tell(struct mark *mark, uint64_t offset, struct extents *extents);

/* What there is to say of MARK. */
struct mark_status mark_status(struct mark *mark);

/* The data may be any other now: from now on everything is dirty, for all marks there are. */
void marks_lose(struct marks *marks);

#endif
