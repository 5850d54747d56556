/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/account.h"

#include <errno.h>

const char *account_op_name(unsigned op)
{
	static const char *const names[ACCOUNT_OPS] = {
		[PLATTER_OP_READ] = "read", [PLATTER_OP_WRITE] = "write", [PLATTER_OP_FLUSH] = "flush",
		[PLATTER_OP_TRIM] = "trim", [PLATTER_OP_ZEROES] = "zeroes", [PLATTER_OP_CACHE] = "cache",
		[PLATTER_OP_EXTENTS] = "extents",
	};

	return names[op];
}

static uint64_t in_flight(const struct account *account)
{
	uint64_t sum = 0;

	for (unsigned op = 0; op < ACCOUNT_OPS; op++)
		sum += account->in_flight[op] - account->at_once[op];
	return sum;
}

void account_look(struct queue_account *queue, uint64_t now)
{
	/* Whoever read the counters may have looked at the clock later. */
	if (now <= queue->busy_until)
		return;
	if (in_flight(&queue->account))
		queue->busy_ns += now - queue->busy_until;
	queue->busy_until = now;
}

static unsigned bucket(uint64_t ns)
{
	unsigned bits = ns < 1000 ? 0 : 64 - (unsigned)__builtin_clzll(ns / 1000);

	return bits < ACCOUNT_BUCKETS ? bits : ACCOUNT_BUCKETS - 1;
}

static void add_time(struct account_time *time, uint64_t ns)
{
	time->ns += ns;
	time->buckets[bucket(ns)]++;
}

static void end(struct account *account, const struct request *request)
{
	unsigned op = request->driver.op;
	uint64_t now = request->block->now;
	/* One that the driver never got has only waited. */
	uint64_t submitted = request->submitted ? request->submitted : now;

	account->in_flight[op]--;
	/* Its client has gone: nobody was kept waiting. */
	if (!request->submitted && request->error == -ECANCELED)
		return;
	account->requests[op]++;
	if (request->error)
		account->errors[op]++;
	else
		account->bytes[op] += request->driver.length;
	add_time(&account->queued[op], submitted - request->arrived);
	add_time(&account->serviced[op], now - submitted);
}

void account_end_timed(struct queue_account *queue, const struct request *request)
{
	if (request->driver.length >= ACCOUNT_LARGE)
		block_look_at_clock(request->block);
	account_look(queue, request->block->now);
	end(&queue->account, request);
	if (request->from->account)
		end(request->from->account, request);
}

void account_merged(struct queue_account *queue, const struct request *request)
{
	queue->account.merged[request->driver.op]++;
	if (request->from->account)
		request->from->account->merged[request->driver.op]++;
}

void account_settle(struct account *account)
{
	for (unsigned op = 0; op < ACCOUNT_OPS; op++) {
		account->in_flight[op] -= account->at_once[op];
		account->requests[op] += account->at_once[op];
		account->queued[op].buckets[0] += account->at_once[op];
		account->serviced[op].buckets[0] += account->at_once[op];
		account->at_once[op] = 0;
	}
}

void account_settle_queue(struct queue_account *queue, uint64_t now)
{
	account_look(queue, now);
	account_settle(&queue->account);
}

static void add_times(struct account_time *to, const struct account_time *from)
{
	to->ns += from->ns;
	for (unsigned i = 0; i < ACCOUNT_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

void account_add(struct queue_account *to, const struct queue_account *from)
{
	for (unsigned op = 0; op < ACCOUNT_OPS; op++) {
		to->account.in_flight[op] += from->account.in_flight[op];
		to->account.requests[op] += from->account.requests[op];
		to->account.errors[op] += from->account.errors[op];
		to->account.bytes[op] += from->account.bytes[op];
		to->account.merged[op] += from->account.merged[op];
		add_times(&to->account.queued[op], &from->account.queued[op]);
		add_times(&to->account.serviced[op], &from->account.serviced[op]);
		to->submitted[op] += from->submitted[op];
	}
	/* How much of it was at the same time nobody knows: it was at least so much. */
	if (from->busy_ns > to->busy_ns)
		to->busy_ns = from->busy_ns;
}
