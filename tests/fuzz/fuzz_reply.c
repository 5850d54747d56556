/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The encoder of replies: results as a disk may bring them, data in many
 * segments, holes, errors, extents, whose replies, as bytes, are read by
 * another hand and must say the same.
 *
 * The input is results, one behind the other: a byte that says which of the
 * following three, and how, and what that takes.  fuzz_corpus.py writes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/wire.h"
#include "server/block/extents.h"
#include "server/nbd/context.h"
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz.h"

enum { RESULT_READ, RESULT_EXTENTS, RESULT_OTHER, RESULTS };

#define HOW_FORM(how) (((how) >> 2 & 3) % 3) /* enum answer_form */
#define HOW_ALONE (1u << 4)                  /* DF, REQ_ONE or FAST_ZERO */

/* Bytes of all READs of an input; pieces of one, and from how many on the encoder may not find room for all of their headers. */
#define MOST_BYTES (1u << 20)
#define MOST_PIECES (20u << 10)
#define FEW_PIECES 2000

#define MOST_UNITS 4096

/* Each client's session has another form of replies. */
static struct world world;

static const struct {
	int error;
	uint32_t code;
} errors[] = {
	{ 0, NBD_SUCCESS },       { -EIO, NBD_EIO },       { -ENOSPC, NBD_ENOSPC }, { -EDQUOT, NBD_ENOSPC }, { -EFBIG, NBD_ENOSPC },
	{ -EPERM, NBD_EPERM },    { -EROFS, NBD_EPERM },   { -EACCES, NBD_EPERM },  { -ENOMEM, NBD_ENOMEM }, { -EINVAL, NBD_EINVAL },
	{ -ENOTSUP, NBD_ENOTSUP }, { -ETIMEDOUT, NBD_EIO }, { -ESHUTDOWN, NBD_EIO }, { -EOVERFLOW, NBD_EIO }, { -1000, NBD_EIO },
	{ INT32_MIN + 1, NBD_EIO },
};

/* ---- What all have in common ---- */

static struct request *request_begin(enum platter_op op, const struct answer *answer)
{
	struct request *request = request_get(&world.backing->block);

	fuzz_check(request, "no memory for a request");
	request->driver.op = (uint16_t)op;
	request->driver.flags = 0;
	request->driver.offset = answer->offset;
	request->driver.length = answer->length;
	request->cookie = answer->cookie;
	request->position = answer->offset;
	request->form = (uint8_t)answer->form;
	request->unfragmented = answer->flags & NBD_CMD_FLAG_DF;
	request->contexts = 1;
	return request;
}

static struct answer answer_begin(struct input *input, uint8_t how, uint16_t type, uint16_t alone)
{
	struct answer answer = { .type = type, .form = HOW_FORM(how), .statuses = { { .context = 1, .bits = 3 } }, .status_count = 1 };

	answer.flags = how & HOW_ALONE ? alone : 0;
	answer.offset = input_number(input, 2) << 47;
	answer.cookie = ~answer.offset;
	return answer;
}

/* As the session does it: what isn't sent is needed no more. */
static void build(struct request *request)
{
	bool status = request->driver.op == PLATTER_OP_EXTENTS && request->error == 0;

	if (status) {
		fuzz_check(context_put_status(&world.clients[request->form].session, request) == 0, "no memory for a status");
		return;
	}
	if (!reply_has_data(request))
		request_release_data(request);
	reply_build(request);
}

/* REQUEST's reply, as a client reads it into ANSWER.  Ends the request. */
static void encode(struct request *request, struct answer *answer)
{
	struct output bytes = { .bytes = NULL };
	size_t at = 0;

	build(request);
	output_append(&bytes, request->header, request->header_length);
	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		output_append(&bytes, request->driver.iov[i].iov_base, request->driver.iov[i].iov_len);
	fuzz_check(bytes.length == request->answer_length, "a reply of %zu bytes that is said to have %zu", bytes.length,
		   (size_t)request->answer_length);
	while (at < bytes.length)
		at += answer_take(answer, bytes.bytes + at, bytes.length - at);
	fuzz_check(answer->done, "a reply without DONE");
	output_free(&bytes);
	request_put(request);
}

/* ---- Data and holes ---- */

static struct {
	struct {
		uint32_t length;
		bool hole;
	} list[MOST_PIECES];
	unsigned count;
	uint32_t bytes;
	uint32_t left;  /* bytes that the input's further READs may have */
} pieces;

/* Two bytes: how long, and whether it is a hole.  Some of the longer ones exceed the buffer that holes are filled from. */
static void read_piece(struct input *input)
{
	uint16_t piece = (uint16_t)input_number(input, 2);
	uint32_t length = piece & 0x4000 ? (piece & 0x3fffu) << 5 : piece & 0x3fffu;

	if (pieces.count == MOST_PIECES || length == 0 || length > pieces.left)
		return;
	pieces.list[pieces.count].length = length;
	pieces.list[pieces.count++].hole = piece & 0x8000;
	pieces.bytes += length;
	pieces.left -= length;
}

/* Groups of so many pieces, each several times, until there is an empty one. */
static void read_pieces(struct input *input)
{
	unsigned count;

	pieces.count = pieces.bytes = 0;
	while ((count = input_byte(input))) {
		struct input group = *input;

		for (unsigned times = 1u + input_byte(&group); times; times--) {
			*input = group;
			for (unsigned i = 0; i < count; i++)
				read_piece(input);
		}
	}
}

/* What a driver lends: those of no hole come from here, each from somewhere else. */
static uint8_t memory[1u << 20];

static uint8_t *memory_of(unsigned piece)
{
	return memory + piece * 977 % (sizeof(memory) / 2);
}

static void fill_memory(void)
{
	if (memory[1])
		return;
	for (uint32_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 2654435761u >> 24);
}

static void lend_all(struct request *request)
{
	for (unsigned i = 0; i < pieces.count; i++)
		fuzz_check(platter_request_lend(&request->driver, pieces.list[i].hole ? NULL : memory_of(i), pieces.list[i].length) == 0 ||
				   pieces.count > FEW_PIECES,
			   "there is no room for %u pieces", pieces.count);
}

/* The first LENGTH bytes. */
static void check_data(const struct answer *answer, uint64_t length)
{
	static const uint8_t zeroes[1u << 20];
	/* Whoever takes holes is told of them, if there was memory for it. */
	bool told = answer->form != ANSWER_SIMPLE && !(answer->flags & NBD_CMD_FLAG_DF) && pieces.count <= FEW_PIECES;
	uint64_t at = 0;

	for (unsigned i = 0; i < pieces.count && at < length; at += pieces.list[i++].length) {
		uint64_t bytes = pieces.list[i].length < length - at ? pieces.list[i].length : length - at;
		bool hole = pieces.list[i].hole;

		fuzz_check(memcmp(answer->data + at, hole ? zeroes : memory_of(i), bytes) == 0, "piece %u of %u has other data", i, pieces.count);
		fuzz_check(!told || (answer->kinds[at] == ANSWER_HOLE) == hole, "piece %u of %u is %sa hole", i, pieces.count,
			   hole ? "not " : "");
	}
}

static unsigned read_error(struct input *input)
{
	return input_byte(input) % (sizeof(errors) / sizeof(errors[0]));
}

static void check_error(const struct answer *answer, unsigned error, bool fast)
{
	uint32_t code = errors[error].code == NBD_ENOTSUP && !fast ? NBD_EIO : errors[error].code;

	fuzz_check(answer->error == code, "%d became %u", errors[error].error, answer->error);
}

/* What came before the error, if that was told: as much as was done. */
static void check_progress(const struct answer *answer, uint64_t progress)
{
	if (!answer->error_at) {
		fuzz_check(answer->contents == 0, "content, and an error that is nowhere");
		return;
	}
	fuzz_check(answer->error_at == answer->offset + progress, "the error is at another place");
	fuzz_check(!answer->kinds[progress] && !memchr(answer->kinds, ANSWER_MISSING, progress), "other content than what was done");
	check_data(answer, progress);
}

static void encode_read(struct request *request, struct answer *answer, unsigned error)
{
	uint64_t progress = request->progress;

	encode(request, answer);
	if (errors[error].error) {
		check_error(answer, error, false);
		check_progress(answer, progress);
		return;
	}
	fuzz_check(!answer->error || pieces.count > FEW_PIECES, "a read of %u pieces has failed", pieces.count);
	if (!answer->error)
		check_data(answer, answer->length);
}

/* Its pieces, and an error, with how far it came. */
static void result_read(struct input *input, uint8_t how)
{
	struct answer answer = answer_begin(input, how, NBD_CMD_READ, NBD_CMD_FLAG_DF);
	struct request *request;
	unsigned error;

	read_pieces(input);
	error = read_error(input);
	answer.length = pieces.bytes;
	request = request_begin(PLATTER_OP_READ, &answer);
	lend_all(request);
	request->error = errors[error].error;
	if (request->error && pieces.bytes)
		platter_request_progress(&request->driver, input_number(input, 3) % pieces.bytes);
	/* As the queue: what is too short is an error. */
	if (!request->error && request_segments_length(request) != request->driver.length)
		request->error = -EIO;
	encode_read(request, &answer, error);
	answer_free(&answer);
}

static void result_other(struct input *input, uint8_t how)
{
	static const struct {
		uint16_t type;
		enum platter_op op;
	} commands[] = {
		{ NBD_CMD_WRITE, PLATTER_OP_WRITE }, { NBD_CMD_FLUSH, PLATTER_OP_FLUSH }, { NBD_CMD_TRIM, PLATTER_OP_TRIM },
		{ NBD_CMD_CACHE, PLATTER_OP_CACHE }, { NBD_CMD_WRITE_ZEROES, PLATTER_OP_ZEROES },
	};
	unsigned command = input_byte(input) % (sizeof(commands) / sizeof(commands[0]));
	unsigned error = read_error(input);
	struct answer answer = answer_begin(input, how, commands[command].type, NBD_CMD_FLAG_FAST_ZERO);
	bool fast = answer.flags && answer.type == NBD_CMD_WRITE_ZEROES;
	struct request *request;

	answer.length = input_number(input, 4);
	request = request_begin(commands[command].op, &answer);
	request->driver.flags = fast ? PLATTER_REQ_FAST_ZERO : 0;
	request->error = errors[error].error;
	platter_request_progress(&request->driver, input_number(input, 2));
	encode(request, &answer);
	check_error(&answer, error, fast);
	answer_free(&answer);
}

/* ---- Extents ---- */

/* What was told, as simply as it can be kept: a kind for each unit.  A block has several of them. */
static struct {
	uint8_t kinds[MOST_UNITS];
	unsigned count, told;   /* units of the request, and of which something was told */
	unsigned in_block;
	uint32_t unit;          /* bytes */
} units;

static void tell(struct input *input, struct extents *extents)
{
	units.told = 0;
	while (input->left) {
		uint8_t piece = input_byte(input), kind = piece & 3;
		unsigned length = piece >> 2 ? piece >> 2 : (unsigned)input_number(input, 2);

		if (length == 0)
			break;
		extents_add(extents, (uint64_t)length * units.unit, kind);
		for (; length && units.told < units.count; length--)
			units.kinds[units.told++] = kind;
	}
}

/* What the units of a block have in common. */
static uint8_t kind_of(unsigned at)
{
	uint8_t kind = units.kinds[at];

	for (unsigned i = 1; i < units.in_block; i++)
		kind &= units.kinds[at + i];
	return kind;
}

static void check_extents(const struct answer *answer, unsigned most)
{
	const struct answer_status *status = &answer->statuses[0];
	unsigned at = 0, count = 0;

	while (at + units.in_block <= units.told && count < most) {
		unsigned begin = at;

		while (at + units.in_block <= units.told && kind_of(at) == kind_of(begin))
			at += units.in_block;
		fuzz_check(count < status->count && status->extents[count].flags == kind_of(begin) &&
				   status->extents[count].length == (at - begin) * units.unit,
			   "extent %u is another", count);
		count++;
	}
	fuzz_check(count == status->count, "%u extents instead of %u", status->count, count);
}

static void result_extents(struct input *input, uint8_t how)
{
	struct answer answer = answer_begin(input, how, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE);
	struct request *request;
	unsigned most;

	/* Nobody asks without structured replies. */
	answer.form += answer.form == ANSWER_SIMPLE;
	most = how & HOW_ALONE ? 1 : 1u + input_byte(input);
	units.unit = 1u << input_byte(input) % 20;
	units.in_block = 1u << input_byte(input) % 4;
	units.count = units.in_block * (1 + (unsigned)input_number(input, 2) % (MOST_UNITS / units.in_block));
	answer.length = units.count * units.unit;
	request = request_begin(PLATTER_OP_EXTENTS, &answer);
	request->extents = extents_new(answer.length, units.in_block * units.unit, most);
	fuzz_check(request->extents, "no memory for extents");
	tell(input, request->extents);
	/* As the queue. */
	if (!request->extents->count)
		request->error = -EIO;
	encode(request, &answer);
	fuzz_check(!answer.error == (units.told >= units.in_block), "the answer to %u units that were told is %u", units.told,
		   answer.error);
	if (!answer.error)
		check_extents(&answer, most);
	answer_free(&answer);
}

static void begin(void)
{
	const struct platter_geometry geometry = { .bytes = BACKING_BYTES };

	log_open("fuzz_reply", (enum log_level)0);
	fill_memory();
	pieces.left = MOST_BYTES;
	world = (struct world){ .backing = backing_new(&geometry, false) };
	for (unsigned form = 0; form < CLIENTS; form++)
		client_open(&world.clients[form], &world, form, true);
}

static void end(void)
{
	for (unsigned form = 0; form < CLIENTS; form++) {
		client_end(&world.clients[form], CLIENT_IS_KILLED);
		client_check(&world.clients[form]);
	}
	backing_free(world.backing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const results[])(struct input *input, uint8_t how) = {
		[RESULT_READ] = result_read,
		[RESULT_EXTENTS] = result_extents,
		[RESULT_OTHER] = result_other,
	};
	struct input input = { data, size };

	begin();
	while (input.left) {
		uint8_t how = input_byte(&input);

		results[(how & 3) % RESULTS](&input, how);
	}
	end();
	return 0;
}
