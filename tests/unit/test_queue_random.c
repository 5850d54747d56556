/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue against the model, at random: several connections, every kind of
 * request, every scheduler and setting, changed under way, and a driver that
 * does all that it may but lend its memory.  A round is a disk of its own, with
 * its own habits.  PLATTER_TEST_SEED=N gives other rounds, PLATTER_TEST_ROUNDS=N
 * so many.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "server/block/elevator.h"
#include "server/block/software_queue.h"
#include "tests/unit/model.h"
#include "tests/unit/mutate.h"

#define ROUNDS 1000
#define CONNECTIONS 4

/* Others that may go before a request that waits for its turn only: thrice what was ever seen; a long round has more. */
#define PATIENCE 2000

static struct connection {
	struct software_queue software;
	uintptr_t session;       /* the owner of its requests; another one after it was dropped */
	unsigned depth;          /* requests at a time */
	unsigned operations[16]; /* enum platter_op, one of which it asks for */
	bool sequential, backwards;
	unsigned at;             /* block */
} connections[CONNECTIONS];

/* The round's habits: one in how many; 0: never. */
static struct {
	unsigned number, requests;
	unsigned fua, fails, fails_merged, fua_loses, sync_fails, cache_fails, at_once, remote, switches, drops, needs;
	unsigned longest, parts; /* blocks of a request, and how many the driver may want to have of it */
	unsigned busy;           /* how often there is more to do, of 16 */
} habits;

static uint64_t state, sessions, wakes, failures, most_others;

static unsigned below(unsigned limit)
{
	return (unsigned)((mutate_random(&state) >> 16) % limit);
}

static bool one_in(unsigned many)
{
	return many && below(many) == 0;
}

static unsigned one_of(const unsigned *values, unsigned count)
{
	return values[below(count)];
}

static const char *context(void)
{
	static char text[128];
	const char *seed = getenv("PLATTER_TEST_SEED");

	snprintf(text, sizeof(text), "PLATTER_TEST_SEED=%s, round %u, after %u changes", seed ? seed : "0", habits.number,
		 model->versions);
	return text;
}

/* ---- The driver ---- */

static int choose_result(const struct model_piece *piece)
{
	static const int errors[] = { -ENOSPC, -EINVAL, -ENOTSUP, -ENOMEM, -EIO, -ETIMEDOUT };
	bool sync = piece->request->op == PLATTER_OP_FLUSH || piece->members[0].op->sync;

	if (piece->request->op == PLATTER_OP_FLUSH)
		return one_in(habits.sync_fails) ? errors[below(6)] : 0;
	if (!one_in(piece->count > 1 ? habits.fails_merged : habits.fails))
		return 0;
	/* What is lost for ever ends what can be learned from the round. */
	return errors[below(sync && !one_in(habits.fua_loses) ? 4 : 6)];
}

static void complete(unsigned index)
{
	bool remote = one_in(habits.remote);

	if (remote)
		block_set_self(NULL);
	model_complete(index, choose_result(model->pieces[index]));
	block_set_self(&model->fake->block);
}

static void submitted(unsigned index)
{
	if (one_in(habits.at_once))
		complete(index);
}

static void count_wake(struct block *block)
{
	(void)block;
	wakes++;
}

/* Any, but nobody is kept waiting for ever. */
static void complete_some(void)
{
	for (unsigned some = below(model->count + 1); some && model->count; some--)
		complete(one_in(3) ? 0 : below(model->count));
	if (one_in(4)) {
		unsigned block = below(model->blocks);

		model_write_back(block, one_in(habits.cache_fails));
	}
}

/* ---- Time and memory ---- */

static uint64_t nanoseconds;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now->tv_sec = (time_t)(nanoseconds / 1000000000);
	now->tv_nsec = (long)(nanoseconds % 1000000000);
	return 0;
}

static void pass_time(uint64_t ns)
{
	struct fake *fake = model->fake;

	nanoseconds += ns;
	fake->block.now = nanoseconds;
	if (fake->timer <= nanoseconds)
		block_unplug(&fake->block);
}

static bool out_of_memory;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return out_of_memory ? NULL : __real_aligned_alloc(alignment, size);
}

/* There are no more requests than those that exist: what would be merged or split can't be, nor synced with one more. */
static void dispatch_in_need(void)
{
	struct block *block = &model->fake->block;
	struct request *kept = block->free_requests;
	unsigned count = block->free_request_count;

	block->free_requests = NULL;
	block->free_request_count = 0;
	out_of_memory = model->no_memory = true;
	block_dispatch(block);
	out_of_memory = false;
	while (kept) {
		struct request *next = kept->next;

		kept->next = block->free_requests;
		block->free_requests = kept;
		kept = next;
	}
	block->free_request_count += count;
}

/* ---- Settings ---- */

static void change_settings(void)
{
	static const unsigned depths[] = { 1, 2, 3, 8, 128 }, kilobytes[] = { 1, 2, 4, 8, 1280 };
	struct disk_limits *own = &model->fake->disk->limits;
	struct limits *limits = &own->limits;

	limits->elevator = elevator_at(below(3));
	limits->queue_depth = one_of(depths, 5);
	limits->async_depth = one_of(depths, 5);
	limits->fair_depth = one_of(depths, 5);
	limits->max_sectors_kb = one_of(kilobytes, 5) * (unsigned)(model->size / 512);
	limits->max_segments = one_of(depths, 5) * 2;
	limits->nomerges = one_in(2) ? QUEUE_MERGES_ALL : below(3);
	limits->run_depth = below(4);
	limits->run_asked = one_in(2);
	limits->plug_us = one_in(4) ? below(2000) : 0;
	limits->read_expire = 1 + below(50);
	limits->write_expire = 1 + below(200);
	limits->writes_starved = below(4);
	limits->fifo_batch = 1 + below(16);
	atomic_fetch_add(&own->generation, 1);
	model_settings();
}

static uint64_t blocks_or_none(void)
{
	return one_in(2) ? 0 : (1 + below(8)) * model->size;
}

static void choose_geometry(void)
{
	struct platter_geometry *geometry = &model->fake->disk->geometry;

	geometry->min_block = 512;
	geometry->max_request = blocks_or_none();
	geometry->max_zeroes = blocks_or_none();
	geometry->max_trim = blocks_or_none();
	geometry->max_segments = one_in(2) ? 1024 : 1 + below(6);
	habits.parts = 1 + habits.longest / geometry->max_segments;
	for (unsigned i = 0; i < 3; i++) {
		const uint64_t limits[] = { geometry->max_request, geometry->max_zeroes, geometry->max_trim };
		unsigned parts = limits[i] ? 1 + (unsigned)(habits.longest * model->size / limits[i]) : 1;

		habits.parts = parts > habits.parts ? parts : habits.parts;
	}
}

/* ---- Clients ---- */

static void open_connection(struct connection *connection)
{
	static const unsigned kinds[][16] = {
		{ 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 5 },
		{ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 },
		{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2 },
		{ 3, 3, 3, 4, 4, 4, 3, 4, 3, 4, 4, 4, 4, 4, 1, 2 },
		{ 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2 },
	};

	memcpy(connection->operations, kinds[below(5)], sizeof(kinds[0]));
	connection->session = ++sessions;
	connection->depth = 1 + below(one_in(2) ? 4 : MODEL_OPS / CONNECTIONS);
	connection->sequential = one_in(2);
	connection->backwards = one_in(3);
	connection->at = below(model->blocks);
}

/* Another one with the same memory, once nothing of the first is left. */
static void replace(struct connection *connection)
{
	if (connection->software.open)
		return;
	for (unsigned i = 0; i < SOFTWARE_SIDES; i++)
		model_check(connection->software.side[i].places == 0, "limits", "a connection without requests has %u places",
			    connection->software.side[i].places);
	software_queue_leave(&connection->software);
	software_queue_init(&connection->software);
}

static unsigned waiting_of(const struct connection *connection)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MODEL_OPS; i++)
		count += model->ops[i].request && model->ops[i].owner == (const void *)connection->session;
	return count;
}

static unsigned choose_first(struct connection *connection, unsigned count)
{
	unsigned first = below(model->blocks - count + 1);

	if (!connection->sequential || one_in(16)) {
		connection->at = first;
		return first;
	}
	if (connection->backwards) {
		first = connection->at >= count ? connection->at - count : model->blocks - count;
		connection->at = first;
		return first;
	}
	first = connection->at + count <= model->blocks ? connection->at : 0;
	connection->at = first + count;
	return first;
}

static void ask(unsigned number)
{
	struct connection *connection = &connections[number];
	struct model_ask request = {
		.op = (enum platter_op)one_of(connection->operations, 16),
		/* The first one is the host itself: it has no software queue. */
		.from = number ? &connection->software : NULL,
		.owner = (const void *)connection->session,
	};

	if (request.op != PLATTER_OP_FLUSH) {
		request.count = 1 + below(habits.longest < model->blocks ? habits.longest : model->blocks);
		request.first = choose_first(connection, request.count);
		request.cuts = one_in(2) ? 0 : (uint32_t)mutate_random(&state);
	}
	if (model_is_change(request.op) && one_in(habits.fua))
		request.flags |= PLATTER_REQ_FUA;
	if (request.op == PLATTER_OP_ZEROES && one_in(3))
		request.flags |= PLATTER_REQ_NO_HOLE;
	model_ask(&request);
}

static void ask_some(void)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		unsigned room = connections[i].depth - waiting_of(&connections[i]);

		for (unsigned some = room ? below(room + 1) : 0; some && model->waiting < MODEL_OPS; some--)
			ask(i);
	}
}

static void drop(struct connection *connection)
{
	model_drop((const void *)connection->session);
	open_connection(connection);
}

/* ---- A round ---- */

static void choose_habits(unsigned number)
{
	static const unsigned rare[] = { 0, 2, 8, 32, 0, 4, 100, 1000 };
	static const unsigned lengths[] = { 1, 2, 4, MODEL_LONGEST };
	bool loses = one_in(3);

	habits.number = number;
	habits.requests = 100 + below(one_in(8) ? 20000 : 3000);
	habits.fua = one_of(rare, 8) / 2;
	habits.fails = one_of(rare, 8);
	habits.fails_merged = loses ? 1 + below(16) : one_of(rare, 8);
	habits.sync_fails = loses && one_in(2) ? 1 + below(200) : 0;
	habits.fua_loses = loses ? 1 + below(4) : 0;
	habits.cache_fails = loses ? 1 + below(500) : 0;
	habits.at_once = one_of(rare, 8);
	habits.remote = one_of(rare, 8);
	habits.switches = one_of(rare, 8) * 16;
	habits.drops = one_of(rare, 8) * 4;
	habits.needs = one_of(rare, 8);
	habits.longest = one_of(lengths, 4);
	habits.busy = below(17);
}

static void begin_round(unsigned number)
{
	static const unsigned counts[] = { 1, 4, 16, 64, MODEL_BLOCKS };
	/* Small, as the largest that a run has, and of longer stretches than overlapping is looked for in. */
	static const unsigned sizes[] = { 512, 512, 512, 4096, 24u << 10, 64u << 10, MODEL_BLOCK };
	unsigned blocks;

	/* Each round can be had alone: its number is all that it depends on, besides the seed. */
	state = (mutate_seed() ^ (number + 1) * UINT64_C(0xd1342543de82ef95)) | 1;
	for (unsigned i = 0; i < 8; i++)
		mutate_random(&state);
	choose_habits(number);
	blocks = one_of(counts, 5);
	model_reset(blocks, one_of(sizes, 7));
	model->random = mutate_random(&state);
	model->fua_syncs = one_in(2);
	choose_geometry();
	change_settings();
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		software_queue_init(&connections[i].software);
		open_connection(&connections[i]);
	}
}

static uint64_t sum(void)
{
	uint64_t ended = model->cancelled;

	for (unsigned op = 0; op <= PLATTER_OP_CACHE; op++)
		ended += model->ended[op];
	return ended;
}

/* It waits for the data of an earlier one. */
static bool is_behind(const struct model_op *op)
{
	if (model_is_change(op->op))
		for (unsigned block = op->first; block < op->first + op->count; block++)
			if (model->pending[block][0] != op)
				return true;
	return false;
}

static void check_patience(void)
{
	for (unsigned i = 0; i < MODEL_OPS; i++) {
		struct model_op *op = &model->ops[i];
		uint64_t others;

		if (!op->request)
			continue;
		if (is_behind(op))
			op->since = model->completed;
		others = (model->completed - op->since) / habits.parts;
		most_others = others > most_others ? others : most_others;
		model_check(others < PATIENCE, "progress", "op %u has been waiting for %ju others", op->op, (uintmax_t)others);
	}
}

static void settle(void)
{
	block_collect(&model->fake->block);
	fake_dispatch(model->fake);
	block_collect(&model->fake->block);
	if (!block_has_work(&model->fake->block))
		model_check_waiting();
}

static void turn(void)
{
	struct block *block = &model->fake->block;

	/* Now and then so long that who uses the disk is counted anew. */
	pass_time(one_in(200) ? 1500000000 : below(2000000));
	if (one_in(habits.switches))
		change_settings();
	if (one_in(50))
		replace(&connections[below(CONNECTIONS)]);
	ask_some();
	if (one_in(habits.drops))
		drop(&connections[below(CONNECTIONS)]);
	if (one_in(habits.needs))
		dispatch_in_need();
	if (below(16) >= habits.busy)
		settle();
	else if (one_in(2))
		block_dispatch(block);
	complete_some();
	if (one_in(2))
		block_collect(block);
}

static void play(unsigned number)
{
	uint64_t before = sum();

	begin_round(number);
	while (sum() - before < habits.requests) {
		turn();
		check_patience();
		/* Everything with FUA is refused by now. */
		if (model->known && one_in(100))
			break;
	}
	while (model->waiting) {
		pass_time(2000000);
		settle();
		while (model->count)
			complete(0);
	}
	settle();
	model_check_idle();
	failures += model->known;
	/* What is used after its end is to be noticed. */
	block_trim(&model->fake->block);
	block_trim(&model->fake->block);
}

static void test_the_queue_keeps_to_the_model(void **unused)
{
	const char *given = getenv("PLATTER_TEST_ROUNDS");
	unsigned rounds = given ? (unsigned)strtoul(given, NULL, 10) : ROUNDS;

	(void)unused;
	log_open("test_queue_random", (enum log_level)0);
	model_new();
	model_context = context;
	model->submitted = submitted;
	model->fake->block.wake = count_wake;
	for (unsigned number = 0; number < rounds; number++)
		play(number);
	print_message("%ju requests in %u rounds: %ju merged, %ju tried again alone, %ju parts, %ju syncs, %ju dropped, "
		      "%ju refused by %ju disks that had lost data; at most %ju others went before\n",
		      (uintmax_t)sum(), rounds, (uintmax_t)model->merged, (uintmax_t)model->retried, (uintmax_t)model->parts,
		      (uintmax_t)model->syncs, (uintmax_t)model->cancelled, (uintmax_t)model->refused, (uintmax_t)failures,
		      (uintmax_t)most_others);
	model_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_queue_keeps_to_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
