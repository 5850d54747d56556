/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disk behind the fuzzed sessions: memory, and a driver that does with
 * each request what a byte of the input, its fate, says, within what drivers
 * may do and a little beyond.
 */
#ifndef FUZZ_BACKING_H
#define FUZZ_BACKING_H

#include <platter/driver.h>

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/request.h"

/* More requests than any queue gives a driver. */
#define BACKING_MOST 128
/* Of the smaller and the larger disk: on this, reads are long enough to be told of holes. */
#define BACKING_BYTES (16u << 10)
#define BACKING_LARGE (128u << 10)
/* To which it may grow. */
#define BACKING_LARGEST (256u << 10)
#define BACKING_PLAN 16

/*
 * How a request ends.  AMOUNT, from 0 to 7: of a success that tells or lends pieces, how many, and all for 0;
 * of a failure, how many eighths of the work was done all the same, of which the host may be told.
 */
#define FATE_RESULT(fate) ((fate) & 7)
#define FATE_AMOUNT(fate) ((fate) >> 3 & 7)
#define FATE_EARLY (1u << 6)   /* a success has its effect when the request comes, not when it ends */
#define FATE_AT_ONCE (1u << 7) /* it ends as soon as it comes */

struct backing {
	struct disk *disk;
	struct block block;
	struct platter_request *pending[BACKING_MOST]; /* not yet completed, oldest first */
	unsigned count;
	uint8_t plan[BACKING_PLAN]; /* the fates, in turn, when requests come */
	unsigned submitted;
	uint64_t timer;             /* when block_unplug() is wanted */
	/* Something of REQUEST, which is ending, was not as it should be: whoever hears so may be told of an error. */
	void (*failing)(struct backing *backing, const struct platter_request *request);
	uint64_t bytes;             /* its size, as the driver knows it */
	unsigned events;            /* that the driver has to tell of */
	uint8_t memory[BACKING_LARGEST];
};

/* A metadata context of the driver's own: it tells of pages, each of which always is of the same kind. */
#define BACKING_CONTEXT "x-fuzz:pages"
#define BACKING_PAGE 4096u
uint32_t backing_page_kind(uint64_t at);

/* A disk "disk", exported under that name, of GEOMETRY; the host fills in what is zero.  CONTEXTS: it has its own. */
struct backing *backing_new(const struct platter_geometry *geometry, bool contexts);

/* No request is in use. */
void backing_free(struct backing *backing);

/* Ends the INDEX-th of the pending ones as FATE says. */
void backing_complete(struct backing *backing, unsigned index, uint8_t fate);

/* Makes it BYTES large, which is more than before: whether that is a size. */
bool backing_grow(struct backing *backing, uint64_t bytes);

/* There is another medium, with the same data. */
void backing_change_medium(struct backing *backing);

/* NS later. */
void backing_pass_time(struct backing *backing, uint64_t ns);

#endif
