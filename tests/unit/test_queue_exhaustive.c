/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue against the model, in every order of events: two connections send
 * up to PLATTER_TEST_OPS=N requests (WRITE, WRITE with FUA, FLUSH, overlapping
 * or neighbours), each comes at any time, the reactor dispatches at any time,
 * the driver completes any request that it has at any time, once with an error,
 * and one connection ends at any time.  It is what tests/model/queue.pml
 * describes, done by the real code.
 *
 * A state is kept and gone back to by copying all of the memory that it is in.
 * States that are alike in all that matters are gone on from only once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/elevator.h"
#include "server/block/queue.h"
#include "tests/unit/model.h"

/* These take a second or two; four half a minute. */
#define OPS 3
#define MOST_OPS 6
#define MOST_EVENTS 48
#define MOST_STATES (1u << 20)

static const struct kind {
	const char *name;
	enum platter_op op;
	uint16_t flags;
	unsigned first, count;
} kinds[] = {
	{ "W0", PLATTER_OP_WRITE, 0, 0, 1 },
	{ "W1", PLATTER_OP_WRITE, 0, 1, 1 },
	{ "W01", PLATTER_OP_WRITE, 0, 0, 2 },
	{ "F0", PLATTER_OP_WRITE, PLATTER_REQ_FUA, 0, 1 },
	{ "F1", PLATTER_OP_WRITE, PLATTER_REQ_FUA, 1, 1 },
	{ "FLUSH", PLATTER_OP_FLUSH, 0, 0, 0 },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

enum event_kind { ARRIVE, DISPATCH, COMPLETE, FAIL, DISCONNECT };

struct event {
	enum event_kind kind;
	unsigned number; /* COMPLETE, FAIL: which piece; DISCONNECT: who */
};

/* What is tried: these requests in this order, with this setting. */
static struct {
	const struct elevator *elevator;
	unsigned depth, run_depth, fair_depth, count;
	struct {
		const struct kind *kind;
		unsigned connection;
	} ops[MOST_OPS];
} plan;

/* How it came to where it is. */
static struct event path[MOST_EVENTS];
static unsigned length;

static struct software_queue connections[2];
static struct {
	unsigned arrived;            /* of plan.ops, or passed over */
	bool failed, gone[2];        /* an error has been; who has gone */
	unsigned numbers[MODEL_OPS]; /* which of plan.ops a model_op is */
} now;

static uint64_t seen[MOST_STATES];     /* keys; of another plan: with another stamp */
static uint32_t stamps[MOST_STATES], stamp;
static uint64_t states, plans;

static struct queue *queue_of(void)
{
	return &model->fake->disk->queues[0];
}

static const char *context(void)
{
	static const char *const names[] = { "arrive", "dispatch", "complete", "fail", "disconnect" };
	static char text[1024];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s, depth %u:", plan.elevator->name, plan.depth);

	for (unsigned i = 0; i < plan.count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %s of %u", plan.ops[i].kind->name, plan.ops[i].connection);
	for (unsigned i = 0; i < length; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ", %s %u", names[path[i].kind], path[i].number);
	return text;
}

/* ---- Events ---- */

/* Who has gone sends nothing any more. */
static void pass_over(void)
{
	while (now.arrived < plan.count && now.gone[plan.ops[now.arrived].connection])
		now.arrived++;
}

static void arrive(void)
{
	unsigned number = now.arrived++;
	const struct kind *kind = plan.ops[number].kind;
	unsigned connection = plan.ops[number].connection;
	struct model_ask ask = {
		.op = kind->op, .flags = kind->flags, .first = kind->first, .count = kind->count,
		.from = &connections[connection], .owner = &connections[connection],
	};

	now.numbers[model_ask(&ask)] = number;
	pass_over();
}

static void happen(struct event event)
{
	switch (event.kind) {
	case ARRIVE:
		arrive();
		return;
	case DISPATCH:
		block_dispatch(&model->fake->block);
		return;
	case COMPLETE:
		model_complete(event.number, 0);
		return;
	case FAIL:
		now.failed = true;
		model_complete(event.number, -EIO);
		return;
	case DISCONNECT:
		now.gone[event.number] = true;
		model_drop(&connections[event.number]);
		pass_over();
		return;
	}
}

/* What may come next; how many. */
static unsigned possible(struct event *events)
{
	unsigned count = 0;

	if (block_has_work(&model->fake->block))
		events[count++] = (struct event){ DISPATCH, 0 };
	for (unsigned i = 0; i < model->count; i++)
		events[count++] = (struct event){ COMPLETE, i };
	for (unsigned i = 0; i < model->count && !now.failed; i++)
		events[count++] = (struct event){ FAIL, i };
	if (now.arrived < plan.count)
		events[count++] = (struct event){ ARRIVE, 0 };
	for (unsigned i = 0; i < 2 && !now.gone[0] && !now.gone[1] && model->waiting; i++)
		events[count++] = (struct event){ DISCONNECT, i };
	return count;
}

/* ---- Going back ---- */

/* All that an event may change, but for what the driver keeps with a request: the model's needs nothing there. */
static struct {
	void *memory;
	size_t size;
} parts[MODEL_OPS + 16];
static unsigned part_count;
static uint8_t saved[MOST_EVENTS][16384], beginning[16384];

static void add_part(void *memory, size_t size)
{
	parts[part_count].memory = memory;
	parts[part_count++].size = size;
}

static void find_parts(void)
{
	struct block *block = &model->fake->block;

	part_count = 0;
	add_part(model, sizeof(*model));
	add_part(model->memory, MODEL_MEMORY);
	add_part(block, sizeof(*block));
	/* All changes begin in the first granule: of the buckets of either table one is used. */
	add_part(queue_of(), offsetof(struct queue, overlaps.entered.bucket[1]));
	add_part(&queue_of()->overlaps.entered.count,
		 offsetof(struct queue, overlaps.blocked.bucket[1]) - offsetof(struct queue, overlaps.entered.count));
	add_part(&queue_of()->overlaps.blocked.count, sizeof(struct queue) - offsetof(struct queue, overlaps.blocked.count));
	if (plan.elevator->size)
		add_part(queue_of()->elevator_data, plan.elevator->size);
	for (struct request *request = block->free_requests; request; request = request->next)
		add_part(request, offsetof(struct request, driver.data));
	add_part(&model->fake->disk->failure, sizeof(model->fake->disk->failure));
	add_part(connections, sizeof(connections));
	add_part(&now, sizeof(now));
}

static void save(uint8_t *to)
{
	const uint8_t *end = to + sizeof(saved[0]);

	for (unsigned i = 0; i < part_count; to += parts[i++].size) {
		assert_true(to + parts[i].size <= end);
		memcpy(to, parts[i].memory, parts[i].size);
	}
}

static void go_back(const uint8_t *to)
{
	for (unsigned i = 0; i < part_count; to += parts[i++].size)
		memcpy(parts[i].memory, to, parts[i].size);
}

/* ---- States ---- */

static uint64_t key;

static void add(uint64_t value)
{
	key = (key ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	key ^= key >> 29;
}

/* A request, as the number of its op, or of all its members'; the queue's own sync has none. */
static void add_request(const struct request *request)
{
	struct list_head *node;

	if (!request) {
		add(100);
		return;
	}
	list_for_each(node, &request->members)
		add(200 + now.numbers[container_of(node, struct request, link)->cookie]);
	if (list_empty(&request->members))
		add(request->done ? 300 + now.numbers[request->cookie] : 101);
}

static void add_list(const struct list_head *list)
{
	struct list_head *node;

	list_for_each(node, list)
		add_request(container_of(node, struct request, link));
	add(102);
}

/* Changes that have entered: who is found in the way depends on how they lie. */
static void add_entered(const struct overlaps *overlaps)
{
	struct list_head *node;

	for (unsigned i = 0; i < OVERLAP_BUCKETS; i++)
		list_for_each(node, &overlaps->entered.bucket[i])
			add_request(container_of(node, struct request, change));
	add(103);
}

/* Sequential runs, and the ends of requests in which one may be recognised. */
static void add_runs(const struct runs *runs)
{
	for (unsigned i = 0; i < RUN_MOST; i++) {
		const struct run *run = &runs->runs[i];

		if (run->in_driver) {
			add(run->end << 16 | (uint64_t)run->op << 8 | run->flags);
			add((uint64_t)run->in_driver << 1 | run->sync);
			add_list(&run->followers);
		}
	}
	for (unsigned i = 0; i < RUN_RECENT; i++)
		if (runs->recent[i] != UINT64_MAX)
			add(runs->recent[i]);
	add(105);
}

static void add_op(const struct model_op *op)
{
	add(400 + now.numbers[op - model->ops]);
	add((uint64_t)op->started | op->again << 1 | op->doomed << 2 | !list_empty(&op->request->change) << 3 | op->request->mergeable << 4 |
	    op->request->driver.flags << 8 | (uint64_t)op->done << 32);
	add((uint64_t)(unsigned)op->error << 32 | (unsigned)op->request->error);
	add_list(&op->request->waiters);
	if (op->op == PLATTER_OP_FLUSH)
		add((uint64_t)op->seen[0] << 32 | op->seen[1]);
}

/* In any order. */
static void add_pieces(void)
{
	uint64_t outside = key, sum = 0;

	for (unsigned i = 0; i < model->count; i++) {
		const struct model_piece *piece = model->pieces[i];

		key = piece->request->flags;
		add_request(request_of(piece->request));
		if (piece->request->op == PLATTER_OP_FLUSH)
			add((uint64_t)piece->cover[0] << 32 | piece->cover[1]);
		sum += key;
	}
	key = outside;
	add(sum);
}

static void add_flush(const struct flush *flush)
{
	add_list(&flush->waiting);
	add_list(&flush->sharing);
	add_list(&flush->done);
	add_request(flush->sync);
	add((uint64_t)flush->running << 32 | (unsigned)flush->error);
}

/* Its elevator's memory: pointers to requests, as their numbers. */
static void add_memory(const struct queue *queue)
{
	const uint64_t *words = queue->elevator_data;

	for (size_t i = 0; i < queue->elevator->size / sizeof(*words); i++) {
		uint64_t word = words[i];

		if (word - (uintptr_t)words < queue->elevator->size)
			word = 500 + word - (uintptr_t)words;
		for (unsigned j = 0; j < MODEL_OPS; j++)
			if (model->ops[j].request && word - (uintptr_t)model->ops[j].request < sizeof(struct request))
				word = 1000 * (1 + now.numbers[j]) + word - (uintptr_t)model->ops[j].request;
		add(word);
	}
}

static void add_elevator(const struct queue *queue)
{
	struct list_head *turn;

	for (unsigned side = 0; side < SOFTWARE_LATER; side++) {
		list_for_each(turn, &queue->software.ready[side]) {
			add(104 + 2 * side);
			add_list(&container_of(turn, struct software_side_list, turn)->requests);
		}
		list_for_each(turn, &queue->software.full[side]) {
			add(108 + 2 * side);
			add_list(&container_of(turn, struct software_side_list, turn)->requests);
		}
	}
	/* Their places follow from what the driver has, and who uses the disk from what has arrived. */
	for (unsigned i = 0; i < 2; i++)
		add(connections[i].side[SOFTWARE_READS].full << 1 | connections[i].side[SOFTWARE_CHANGES].full);
	/* What "merge" keeps follows from this. */
	if (queue->elevator == &elevator_deadline)
		add_memory(queue);
}

static void add_blocks(void)
{
	for (unsigned block = 0; block < 2; block++) {
		add((uint64_t)model->version[block] << 32 | model->replied[block]);
		add((uint64_t)model->cached[block] << 32 | model->durable[block]);
		add((uint64_t)model->lost[block] << 32 | model->floor[block]);
	}
}

/* Whether this state is new, as far as what may still happen goes. */
static bool is_new(void)
{
	const struct queue *queue = queue_of();
	struct list_head *node;
	unsigned place;

	key = now.arrived | now.failed << 8 | now.gone[0] << 9 | now.gone[1] << 10 | model->failed << 11 | model->known << 12 |
	      block_has_work(&model->fake->block) << 13;
	for (unsigned i = 0; i < MODEL_OPS; i++)
		if (model->ops[i].request)
			add_op(&model->ops[i]);
	add_pieces();
	add_blocks();
	add_flush(&queue->flush);
	add_list(&queue->resumed);
	add_entered(&queue->overlaps);
	add_runs(&queue->runs);
	list_for_each(node, &queue->overlaps.waiting)
		add_request(container_of(node, struct request, wait));
	add_elevator(queue);
	for (place = key % MOST_STATES; stamps[place] == stamp; place = (place + 1) % MOST_STATES)
		if (seen[place] == key)
			return false;
	stamps[place] = stamp;
	seen[place] = key;
	states++;
	return true;
}

static void explore(void)
{
	struct event events[2 * MODEL_OPS + 4];
	unsigned count = possible(events), here = length;

	if (!block_has_work(&model->fake->block))
		model_check_waiting();
	if (!is_new())
		return;
	if (count == 0)
		model_check_idle();
	assert_in_range(here, 0, MOST_EVENTS - 1);
	save(saved[here]);
	for (unsigned i = 0; i < count; i++) {
		if (i)
			go_back(saved[here]);
		path[here] = events[i];
		length = here + 1;
		happen(events[i]);
		explore();
	}
	length = here;
}

/* All that PLAN.COUNT requests may be; the first is of connection 0, for they are alike. */
static void try_all(unsigned from)
{
	if (from == plan.count) {
		stamp++;
		plans++;
		go_back(beginning);
		length = 0;
		explore();
		return;
	}
	for (unsigned i = 0; i < KINDS; i++) {
		for (unsigned connection = 0; connection < (from ? 2 : 1); connection++) {
			plan.ops[from].kind = &kinds[i];
			plan.ops[from].connection = connection;
			try_all(from + 1);
		}
	}
}

/* Enough of them for all that may be under way. */
static void make_requests(void)
{
	struct request *requests[MODEL_OPS];

	for (unsigned i = 0; i < MODEL_OPS; i++)
		requests[i] = request_get(&model->fake->block);
	for (unsigned i = 0; i < MODEL_OPS; i++)
		request_put(requests[i]);
}

static void begin(unsigned depth)
{
	struct disk_limits *own = &model->fake->disk->limits;

	plan.depth = depth;
	own->limits.elevator = plan.elevator;
	own->limits.queue_depth = own->limits.async_depth = depth;
	own->limits.run_depth = plan.run_depth;
	own->limits.fair_depth = plan.fair_depth;
	atomic_fetch_add(&own->generation, 1);
	model_reset(MODEL_BLOCKS, MODEL_BLOCK);
	model_settings();
	for (unsigned i = 0; i < 2; i++)
		software_queue_init(&connections[i]);
	find_parts();
	save(beginning);
}

/* With sequential runs there are many more states: LESS requests, then. */
static void try_with(const struct elevator *elevator, unsigned run_depth, unsigned fair_depth, unsigned less)
{
	const char *given = getenv("PLATTER_TEST_OPS");

	states = plans = 0;
	log_open("test_queue_exhaustive", (enum log_level)0);
	model_new();
	make_requests();
	model_context = context;
	plan.elevator = elevator;
	plan.run_depth = run_depth;
	plan.fair_depth = fair_depth;
	plan.count = (given ? (unsigned)strtoul(given, NULL, 10) : OPS) - less;
	assert_in_range(plan.count, 1, MOST_OPS);
	/* One at a time, and as many as there are. */
	for (unsigned depth = 1; depth <= MODEL_OPS; depth += MODEL_OPS - 1) {
		begin(depth);
		try_all(0);
		go_back(beginning);
	}
	print_message("%ju states of %ju sequences of %u requests\n", (uintmax_t)states, (uintmax_t)plans, plan.count);
	model_free();
}

static void test_none_in_every_order(void **state)
{
	(void)state;
	try_with(&elevator_none, 0, 16, 0);
}

static void test_merge_in_every_order(void **state)
{
	(void)state;
	try_with(&elevator_merge, 0, 16, 0);
}

static void test_deadline_in_every_order(void **state)
{
	(void)state;
	try_with(&elevator_deadline, 0, 16, 0);
}

static void test_runs_in_every_order(void **state)
{
	(void)state;
	try_with(&elevator_merge, 1, 16, 1);
	try_with(&elevator_deadline, 1, 16, 1);
}

/* A place in the driver for each of the two connections. */
static void test_shares_in_every_order(void **state)
{
	(void)state;
	try_with(&elevator_merge, 0, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_in_every_order),
		cmocka_unit_test(test_merge_in_every_order),
		cmocka_unit_test(test_deadline_in_every_order),
		cmocka_unit_test(test_runs_in_every_order),
		cmocka_unit_test(test_shares_in_every_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
