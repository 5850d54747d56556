/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests, the host's side: the driver's part, whose it is, where its data
 * lies and what its answer will be.  A request belongs to one thread, its
 * struct block's; only the driver may end it from another.
 */
#ifndef BLOCK_REQUEST_H
#define BLOCK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/disk.h>

#include "common/list.h"
#include "server/block/buffer.h"
#include "server/engine/pool.h"

struct block;
struct extents;
struct queue;
struct run;
struct software_queue;

#define REQUEST_INLINE_SEGMENTS 4

struct request {
	struct list_head link;         /* in the one list that the request is on */
	struct block *block;
	struct queue *queue;           /* while the block layer has it */
	struct software_queue *from;   /* its connection's; the queue sees to one that has none */
	struct list_head change;       /* where its queue's overlaps find it, if it changes data */
	bool sync;                     /* a FLUSH, or came with FUA */
	bool mergeable;                /* in the elevator: it may be merged.  Not what was merged once, and failed so. */
	bool sparse;                   /* a READ whose owner may be told of holes; in its queue: that looks for some */
	bool with_driver;              /* submitted and not completed */
	bool watched;                  /* its driver has it for too long, and that was said */
	uint32_t since;                /* block->ticks when it was submitted */
	uint64_t arrived;              /* block->now when it came into the queue... */
	uint64_t submitted;            /* ...and when the driver got it, or its first part; 0: it didn't */
	struct list_head waiters;      /* later changes of the same data, to be looked at again when it has ended */
	struct list_head wait;         /* in overlaps.waiting while it is among another's... */
	uint64_t arrival;              /* ...as number so much */
	struct run *run;               /* the sequential run that it is one of in the driver; NULL */
	struct list_head members;      /* of a merged request, in the order of the disk */
	uint8_t side;                  /* enum software_side: of which its place in the driver is */
	bool staged;                   /* with "deadline": it is in the window */
	union {                        /* the elevator's */
		struct {
			struct list_head by_start, by_end;
		};
		struct list_head sorted;
	};

	/* Called once when it is finished, on its thread; from then on it is the owner's again. */
	void (*done)(struct request *request);
	void *owner;
	int error;                     /* 0 or -errno, when done */
	uint64_t progress;             /* when it failed: so many of its first bytes are done as asked; 0: nobody knows */
	unsigned capacity;             /* of driver.iov */

	/* Of an EXTENTS request: what was told, the driver's first; of a sparse READ: where it reads; else NULL. */
	struct extents *extents;
	/* Where the data is: either own buffers, or inside an input buffer that others use, too. */
	struct buffer *buffers;
	struct buffer *input;
	uint64_t reserved;             /* bytes taken from the budget */

	/* A split request: how far it has come.  A part: its whole. */
	uint64_t issued;
	struct request *whole;
	/* Of unaligned ones: how many requests do its work; or, of such a WRITE, what it changes of its data, and what is to be read. */
	unsigned pieces;
	uint64_t change_start, change_end;
	uint8_t edges;
	bool unread;                   /* what it was to keep couldn't be read: nothing was written */

	/* The owner's: what the client calls the request, and its answer: its header, and how long it is with the data. */
	uint64_t cookie;
	uint64_t position;             /* where the client says that it begins: of a partition, say, in that */
	bool unfragmented;             /* a READ's data is to come in one piece */
	uint8_t form;                  /* of the answer: enum reply_form */
	uint32_t contexts;             /* of which an EXTENTS request tells, as bits */
	uint64_t answer_length;
	uint8_t header_length;
	union {
		uint8_t header[40];
		struct pool_job job;   /* while the driver's `handle` has it */
	};

	struct request *next;          /* in the free list, or, completed by another thread, on its way home */
	struct iovec inline_segments[REQUEST_INLINE_SEGMENTS];

	/* Last: what is hot lies together before the data that few drivers use. */
	struct platter_request driver;
};

/* The request that a driver knows by its part. */
static inline struct request *request_of(struct platter_request *driver)
{
	return container_of(driver, struct request, driver);
}

/* NULL when there is no memory.  Op, flags, offset and length are the caller's to set. */
struct request *request_get(struct block *block);

/* Frees it with its buffers and its share of the budget.  NULL is allowed. */
void request_put(struct request *request);

/* Frees its data early; the request itself stays. */
void request_release_data(struct request *request);

/* BYTES of memory, at most BUFFER_SEGMENT_SIZE, until its data is released; NULL. */
void *request_get_memory(struct request *request, uint64_t bytes);

/* Makes room for COUNT segments, where it has none yet; -ENOMEM, -EINVAL: too many. */
int request_reserve_segments(struct request *request, unsigned count);

/* Makes more room, for at least one segment beside those that it has; fails likewise. */
int request_grow_segments(struct request *request);

/* The memory that request_allocate() takes for LENGTH bytes. */
uint64_t request_footprint(uint64_t length);

/* Segments of own buffers for all of its length; -ENOMEM. */
int request_allocate(struct request *request);

/* One more own segment, of what is still missing of its length; room for it was reserved.  -ENOMEM. */
int request_extend(struct request *request);

/* Its data is LENGTH bytes at DATA inside INPUT, which gains a user. */
void request_borrow(struct request *request, struct buffer *input, uint8_t *data);

/* Its segments end after LENGTH bytes; there are at least so many. */
void request_cut(struct request *request, uint64_t length);

/* The sum of its segments. */
uint64_t request_segments_length(const struct request *request);

#endif
