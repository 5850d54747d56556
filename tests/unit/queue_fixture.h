/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake disk's queue, with two connections and some way to say what is expected of it. */
#ifndef UNIT_QUEUE_FIXTURE_H
#define UNIT_QUEUE_FIXTURE_H

#include "server/block/elevator.h"
#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

/* Those that were added, in this order. */
extern struct request *requests[FAKE_MOST];
extern unsigned count;

struct queue *queue_of(struct fake *fake);

/* A fake with this scheduler, and no requests yet. */
struct fake *new_with(const char *scheduler);

/* Sets an attribute of its queue. */
void set(struct fake *fake, const char *name, const char *value);

/* Queues a request of a connection, 0 or 1, or of 0.  What a WRITE writes tells its first block: a, b, c, ... */
struct request *add_from(struct fake *fake, unsigned connection, enum platter_op op, uint64_t offset, uint64_t length,
			 uint16_t flags);
struct request *add(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length, uint16_t flags);

/* What the driver has, oldest first, as "W0+4" for a write of 4 blocks of 512 bytes at block 0; "!" is FUA. */
void assert_driver_has(const struct fake *fake, const char *expected);

/* Whatever the driver has and gets ends with RESULT, the oldest first. */
void complete_all(struct fake *fake, int result);

/* All requests have ended; frees them and FAKE. */
void end(struct fake *fake);

#endif
