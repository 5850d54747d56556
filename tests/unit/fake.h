/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk without a driver's mind of its own: it notes what it is given, and
 * the test decides when and how each request ends.
 */
#ifndef UNIT_FAKE_H
#define UNIT_FAKE_H

#include <platter/driver.h>

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/request.h"

#define FAKE_MOST 64

struct fake {
	struct disk *disk;
	struct block block;
	struct platter_request *submitted[FAKE_MOST]; /* not yet completed, oldest first */
	unsigned count;
	unsigned total;       /* submitted so far */
	bool at_once;         /* complete inside submit, with... */
	int result;           /* ...this */
	uint64_t timer;       /* when block_unplug() is wanted */
	void (*submit)(struct fake *fake, struct platter_request *request); /* instead of all this; NULL: none */
	uint8_t memory[1 << 16];
};

/* A disk of 64 KiB named "fake", "opened" with every capability but LENDS, and a block for it to be served by. */
struct fake *fake_new(void);
void fake_free(struct fake *fake);

/* Completes the INDEX-th of the submitted ones. */
void fake_complete(struct fake *fake, unsigned index, int result);

/* Dispatches until nothing is dirty. */
void fake_dispatch(struct fake *fake);

/* A request as the session would make it; its end is counted in *ENDED and leaves it to the caller. */
struct request *fake_request(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length);
extern unsigned fake_ended;

#endif
