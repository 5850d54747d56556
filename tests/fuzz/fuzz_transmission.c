/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transmission phase: up to three clients of one disk, whose requests go
 * through their sessions and the whole block layer to a driver that ends them
 * when, in which order and how the input says, while marks are set and taken
 * away and the disk grows.  Each answer is held against the specification, and
 * against a shadow of the disk.
 *
 * The input is a setup of 27 bytes, then operations: a byte, of which the low
 * four bits say what, the next two who, the last two how much, and what it
 * takes with it.  fuzz_corpus.py writes them by name.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "server/block/limits.h"
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz.h"

/* Requests of an input: more take long, and show nothing new. */
#define MOST_ASKED 1000
/* Turns in which all must have come to its end. */
#define PATIENCE 10000

/* The setup's first byte. */
#define KIND_BLOCK_SHIFT 0xfu  /* the smallest block, a power of two */
#define KIND_CONTEXTS (1u << 4) /* clients select all contexts that there are */
#define KIND_EMULATES (1u << 6) /* requests needn't be of whole ones */
#define KIND_LARGE (1u << 7)

/* ANY_THREAD means nothing where there is one. */
#define CAPABILITIES ((PLATTER_DISK_EXTENTS << 1) - 1 - PLATTER_DISK_ANY_THREAD)

enum operation {
	OP_ASK,           /* flags and type in a byte, offset, length: a byte each, in units; how much: what contexts */
	OP_ASK_BYTES,     /* the same, with two bytes each, in bytes */
	OP_ASK_ANYTHING,  /* flags, type, offset, length as in a header */
	OP_ASK_NEXT,      /* one to four that go on where the last one ended */
	OP_DELIVER,       /* 1, 4, 16 or 64 steps of a session */
	OP_DISPATCH,
	OP_COMPLETE,      /* which, fate */
	OP_COMPLETE_ALL,  /* fate */
	OP_COMPLETE_AWAY, /* which, fate: on another thread */
	OP_RECEIVE,       /* 1, 4, 16 or 64 replies */
	OP_WAIT,          /* so many times 100 microseconds */
	OP_SET,           /* which attribute of the queue, value */
	OP_END,           /* how */
	OP_OPEN,
	OP_MANAGE,        /* who says what: enum management */
	OP_TURN,          /* what a reactor does: everything that is there */
};

/* What administrators do, and the block layer's own housekeeping. */
enum management {
	MANAGE_TRIM,      /* unused memory goes back */
	MANAGE_MARK,      /* sets the mark m0 or m1, or takes it away, by the two bits of how much */
	MANAGE_GROW,      /* by so many units, in a byte */
	MANAGE_MEDIUM,    /* it is another one */
};

/* ---- The setup ---- */

/* What offsets, lengths and limits are given in: a block, but at least 64 bytes. */
static uint32_t unit_of(const struct platter_geometry *geometry)
{
	return geometry->min_block < 64 ? 64 : geometry->min_block;
}

static uint64_t units_or_none(struct input *input, uint32_t unit)
{
	uint8_t value = input_byte(input);

	return value & 0x80 ? 0 : (1 + (uint64_t)value) * unit;
}

static void read_geometry(struct input *input, uint8_t kind, struct platter_geometry *geometry)
{
	*geometry = (struct platter_geometry){
		.bytes = kind & KIND_LARGE ? BACKING_LARGE : BACKING_BYTES,
		.min_block = 1u << (kind & KIND_BLOCK_SHIFT) % 13,
	};
	geometry->capabilities = (uint32_t)input_number(input, 2) & CAPABILITIES;
	geometry->max_request = units_or_none(input, unit_of(geometry));
	geometry->max_zeroes = units_or_none(input, unit_of(geometry));
	geometry->max_trim = units_or_none(input, unit_of(geometry));
	geometry->max_segments = input_byte(input);
	geometry->queue_depth = 1 + input_byte(input) % BACKING_MOST;
}

static void set(struct world *world, uint8_t index, uint8_t value)
{
	static const char *const schedulers[] = { "none", "merge", "deadline" };
	struct platter_error error;
	const char *text = schedulers[value % 3];
	char number[8];
	unsigned count = 0;

	while (limits_name(count))
		count++;
	index %= count;
	snprintf(number, sizeof(number), "%u", value);
	/* The first one is the scheduler. */
	if (index)
		text = number;
	/* What can't be set, or not so, isn't. */
	(void)limits_set(&world->backing->disk->limits, limits_name(index), text, &error);
}

/* With simple replies; structured ones; extended headers without and with a context. */
static void open_client(struct world *world, unsigned index, unsigned how)
{
	static const enum answer_form forms[] = { ANSWER_SIMPLE, ANSWER_STRUCTURED, ANSWER_EXTENDED, ANSWER_EXTENDED };

	client_open(&world->clients[index], world, forms[how & 3], how & 1);
}

static struct world *the_world;

static void failing(struct backing *backing, const struct platter_request *request)
{
	(void)backing;
	client_excuse(the_world, request);
}

static void begin(struct world *world, struct input *input)
{
	struct platter_geometry geometry;
	uint8_t kind = input_byte(input), opens;

	*world = (struct world){ .asked = 0 };
	the_world = world;
	read_geometry(input, kind, &geometry);
	world->all_contexts = kind & KIND_CONTEXTS;
	world->backing = backing_new(&geometry, world->all_contexts);
	world->backing->failing = failing;
	world->backing->disk->emulates = kind & KIND_EMULATES;
	world->backing->block.budget.limit = (1 + (uint64_t)input_byte(input)) << 12;
	shadow_init(&world->shadow, (uint32_t)geometry.bytes, BACKING_LARGEST);
	set(world, 0, input_byte(input));
	opens = input_byte(input);
	for (unsigned i = 0; i < CLIENTS; i++)
		open_client(world, i, opens >> 2 * i);
	for (unsigned i = 0; i < BACKING_PLAN; i++)
		world->backing->plan[i] = input_byte(input);
}

/* ---- The operations ---- */

/*
 * KIND: five flags above the eight commands.  What means FAST_ZERO stands for PAYLOAD_LEN where that can mean something,
 * and a WRITE with extended headers that has it is one without.
 */
static void ask_kind(struct client *client, uint8_t kind, uint64_t offset, uint64_t length, unsigned contexts)
{
	struct wanted wanted = { .flags = kind >> 3, .type = kind & 7, .offset = offset, .length = length, .contexts = contexts };

	if (wanted.type != NBD_CMD_WRITE_ZEROES && (wanted.flags & NBD_CMD_FLAG_FAST_ZERO))
		wanted.flags ^= NBD_CMD_FLAG_FAST_ZERO | NBD_CMD_FLAG_PAYLOAD_LEN;
	if (wanted.type == NBD_CMD_WRITE && client->form == ANSWER_EXTENDED)
		wanted.flags ^= NBD_CMD_FLAG_PAYLOAD_LEN;
	client_ask(client, &wanted);
}

static void ask(struct client *client, struct input *input, unsigned contexts)
{
	uint32_t unit = unit_of(&client->world->backing->disk->geometry);
	uint8_t kind = input_byte(input);
	uint64_t offset = (uint64_t)input_byte(input) * unit;

	ask_kind(client, kind, offset, input_byte(input) * unit, contexts);
}

static void ask_bytes(struct client *client, struct input *input)
{
	uint8_t kind = input_byte(input);
	uint64_t offset = input_number(input, 2);

	ask_kind(client, kind, offset, input_number(input, 2), 0);
}

static void ask_anything(struct client *client, struct input *input, bool magic)
{
	struct wanted wanted = { .no_magic = !magic };

	wanted.flags = (uint16_t)input_number(input, 2);
	wanted.type = (uint16_t)input_number(input, 2);
	wanted.offset = input_number(input, 8);
	wanted.length = input_number(input, client->form == ANSWER_EXTENDED ? 8 : 4);
	client_ask(client, &wanted);
}

static void ask_next(struct client *client, unsigned count)
{
	while (count--) {
		struct wanted wanted = client->last;

		wanted.offset += wanted.length;
		client_ask(client, &wanted);
	}
}

static void complete(struct world *world, struct input *input, bool away)
{
	uint8_t index = input_byte(input), fate = input_byte(input);

	if (world->backing->count == 0)
		return;
	block_set_self(away ? NULL : &world->backing->block);
	backing_complete(world->backing, index % world->backing->count, fate);
	block_set_self(&world->backing->block);
}

static void complete_all(struct world *world, uint8_t fate)
{
	for (unsigned count = world->backing->count; count && world->backing->count; count--)
		backing_complete(world->backing, 0, fate);
}

static void grow(struct world *world, uint8_t units)
{
	struct backing *backing = world->backing;

	if (backing_grow(backing, backing->bytes + (1 + (uint64_t)units) * unit_of(&backing->disk->geometry)))
		shadow_grow(&world->shadow, (uint32_t)backing->bytes);
}

static void manage(struct world *world, enum management what, unsigned much, struct input *input)
{
	switch (what) {
	case MANAGE_TRIM:
		block_trim(&world->backing->block);
		break;
	case MANAGE_MARK:
		if (much & 2)
			dirt_unset(world, much & 1);
		else
			dirt_set(world, much & 1);
		break;
	case MANAGE_GROW:
		grow(world, input_byte(input));
		break;
	case MANAGE_MEDIUM:
		dirt_lose(world);
		break;
	}
}

static void turn(struct world *world)
{
	block_collect(&world->backing->block);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_deliver(&world->clients[i], 64);
	block_dispatch(&world->backing->block);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_receive(&world->clients[i], UINT32_MAX);
}

static void operate(struct world *world, struct input *input)
{
	uint8_t code = input_byte(input);
	unsigned who = code >> 4 & 3, much = code >> 6, many = 1u << 2 * much;
	struct client *client = &world->clients[who % CLIENTS];

	switch ((enum operation)(code & 15)) {
	case OP_ASK:
		ask(client, input, much);
		break;
	case OP_ASK_BYTES:
		ask_bytes(client, input);
		break;
	case OP_ASK_ANYTHING:
		ask_anything(client, input, much != 3);
		break;
	case OP_ASK_NEXT:
		ask_next(client, 1 + much);
		break;
	case OP_DELIVER:
		client_deliver(client, many);
		break;
	case OP_DISPATCH:
		block_dispatch(&world->backing->block);
		break;
	case OP_COMPLETE:
		complete(world, input, false);
		break;
	case OP_COMPLETE_ALL:
		complete_all(world, input_byte(input));
		break;
	case OP_COMPLETE_AWAY:
		complete(world, input, true);
		break;
	case OP_RECEIVE:
		client_receive(client, many);
		break;
	case OP_WAIT:
		backing_pass_time(world->backing, input_byte(input) * UINT64_C(100000));
		break;
	case OP_SET: {
		uint8_t index = input_byte(input);

		set(world, index, input_byte(input));
		break;
	}
	case OP_END:
		client_end(client, input_byte(input) % CLIENT_ENDS_COUNT);
		break;
	case OP_OPEN:
		open_client(world, who % CLIENTS, much);
		break;
	case OP_MANAGE:
		manage(world, (enum management)who, much, input);
		break;
	case OP_TURN:
		turn(world);
		break;
	}
}

/* ---- The end ---- */

static bool is_quiet(const struct world *world)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct client *client = &world->clients[i];

		if (client->open && (client->session.in_flight || (!client->finishing && !list_empty(&client->sent))))
			return false;
	}
	return world->backing->count == 0 && !block_has_work(&world->backing->block);
}

/* From now on the driver does what it is told, and whoever hung up has nothing left in the socket. */
static void settle(struct world *world)
{
	unsigned turns = 0;

	memset(world->backing->plan, 0, sizeof(world->backing->plan));
	do {
		for (unsigned i = 0; i < CLIENTS; i++)
			if (world->clients[i].open && world->clients[i].leaving && list_empty(&world->clients[i].sent))
				client_end(&world->clients[i], CLIENT_ENDS);
		turn(world);
		complete_all(world, 0);
		backing_pass_time(world->backing, 10000000);
		fuzz_check(turns++ < PATIENCE, "it never comes to an end: %u requests in the driver", world->backing->count);
	} while (!is_quiet(world));
}

static void check_idle(const struct world *world)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct client *client = &world->clients[i];

		if (client->open && !client->leaving)
			fuzz_check(client->finishing || list_empty(&client->taken), "a request of connection %u has no answer", i);
		if (client->open)
			fuzz_check(client->session.in_flight_bytes == 0, "connection %u has bytes in flight", i);
	}
	fuzz_check(world->backing->block.budget.used == 0, "nothing is in flight, and memory is reserved");
	fuzz_check(list_empty(&world->backing->block.running), "nothing is in flight, and the driver has something");
}

/* Somebody reads it all: nobody else does anything, so all that is known must be there. */
static void read_back(struct world *world)
{
	struct client *client = &world->clients[0];

	client_end(client, CLIENT_ENDS);
	settle(world);
	client_open(client, world, ANSWER_STRUCTURED, true);
	ask_kind(client, NBD_CMD_BLOCK_STATUS, 0, world->shadow.size, 0);
	ask_kind(client, NBD_CMD_READ, 0, world->shadow.size, 0);
	settle(world);
	check_idle(world);
}

static void end(struct world *world)
{
	settle(world);
	check_idle(world);
	read_back(world);
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_end(&world->clients[i], CLIENT_IS_KILLED);
		client_check(&world->clients[i]);
		fuzz_check(!world->clients[i].open, "connection %u doesn't end", i);
	}
	dirt_free_all(world);
	shadow_destroy(&world->shadow);
	backing_free(world->backing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct input input = { data, size };

	log_open("fuzz_transmission", (enum log_level)0);
	begin(&world, &input);
	while (input.left && world.asked < MOST_ASKED)
		operate(&world, &input);
	end(&world);
	return 0;
}
