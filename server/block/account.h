/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is counted of requests: for each disk on each of its queues, and for
 * each connection.  Only the thread of the queue or the connection touches its
 * counters; whoever wants to read them has that thread settle and copy them.
 *
 * The time is block->now, which isn't read anew for every request (see
 * block.h): what a driver does at once takes no time by that.
 */
#ifndef BLOCK_ACCOUNT_H
#define BLOCK_ACCOUNT_H

#include <stdint.h>

#include <platter/disk.h>

#include "server/block/block.h"
#include "server/block/software_queue.h"
#include "server/block/request.h"

#define ACCOUNT_OPS (PLATTER_OP_EXTENTS + 1)

/* Times of less than a microsecond are in bucket 0, others of less than 2^N in bucket N; the last has the longer ones, too. */
#define ACCOUNT_BUCKETS 22

/* Bytes of a request from which on it is worth a look at the clock when it ends. */
#define ACCOUNT_LARGE (64u << 10)

struct account_time {
	uint64_t ns; /* of all requests together */
	uint64_t buckets[ACCOUNT_BUCKETS];
};

/* Each by op. */
struct account {
	uint64_t at_once[ACCOUNT_OPS];   /* ended in the moment in which they came: otherwise counted only by account_settle() */
	uint64_t in_flight[ACCOUNT_OPS]; /* have come and not ended */
	uint64_t requests[ACCOUNT_OPS];  /* have ended */
	uint64_t errors[ACCOUNT_OPS];    /* of which failed */
	uint64_t bytes[ACCOUNT_OPS];     /* of those that didn't */
	uint64_t merged[ACCOUNT_OPS];    /* went to the driver with another; FLUSHes that another's sync answered */
	struct account_time queued[ACCOUNT_OPS];   /* from when they came to when the driver got them */
	struct account_time serviced[ACCOUNT_OPS]; /* from then until they ended */
};

/* A queue's. */
struct queue_account {
	struct account account;
	uint64_t submitted[ACCOUNT_OPS]; /* to the driver: what is merged is one, what is split as many as there are parts */
	uint64_t busy_ns;                /* when anything was in flight, up to... */
	uint64_t busy_until;             /* ...then, a block->now */
};

/* "read", "write", ... */
const char *account_op_name(unsigned op);

/* REQUEST has gone along with another. */
void account_merged(struct queue_account *queue, const struct request *request);

/* Before the counters are read. */
void account_settle(struct account *account);
/* Likewise, with the time up to NOW. */
void account_settle_queue(struct queue_account *queue, uint64_t now);

/* Adds FROM, which is settled. */
void account_add(struct queue_account *to, const struct queue_account *from);

/* For the following two: the time goes on; the end of a request that took some, or that failed. */
void account_look(struct queue_account *queue, uint64_t now);
void account_end_timed(struct queue_account *queue, const struct request *request);

/* REQUEST has come to the queue... */
static inline void account_start(struct queue_account *queue, const struct request *request)
{
	struct account *connection;

	if (queue->busy_until != request->arrived)
		account_look(queue, request->arrived);
	queue->account.in_flight[request->driver.op]++;
	connection = request->from->account;
	if (connection)
		connection->in_flight[request->driver.op]++;
}

/* ...and has ended. */
static inline void account_end(struct queue_account *queue, const struct request *request)
{
	struct account *connection = request->from->account;
	uint64_t length = request->driver.length;

	if (request->error || request->arrived != request->block->now || length >= ACCOUNT_LARGE) {
		account_end_timed(queue, request);
		return;
	}
	queue->account.at_once[request->driver.op]++;
	queue->account.bytes[request->driver.op] += length;
	if (connection) {
		connection->at_once[request->driver.op]++;
		connection->bytes[request->driver.op] += length;
	}
}

#endif
