/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "bench/load_connection.h"

_Static_assert(NBD_SIMPLE_REPLY_SIZE == STAMP_SIZE, "the parser takes headers and stamps alike");

/* Of a chunk's header, what is behind the cookie: its length, and with extended headers the request's offset before that. */
static size_t length_size(const struct job *job)
{
	return job->extended ? 8 + 8 : 4;
}

/* The first complaint in full; the others are only counted. */
__attribute__((format(printf, 2, 3))) static void complain(struct run *run, const char *format, ...)
{
	va_list args;

	if (run->result->errors++)
		return;
	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
}

/* How many bytes follow a chunk's header and precede its data, of its TYPE. */
static size_t chunk_fields(uint16_t type)
{
	switch (type) {
	case NBD_REPLY_TYPE_OFFSET_DATA:
		return 8;
	case NBD_REPLY_TYPE_OFFSET_HOLE:
		return 8 + 4;
	case NBD_REPLY_TYPE_ERROR:
	case NBD_REPLY_TYPE_ERROR_OFFSET:
		return 4;
	case NBD_REPLY_TYPE_NONE:
		return 0;
	default:
		errx(1, "protocol error: a chunk of the unknown type %" PRIu16, type);
	}
}

/* The slot of the request that a reply with COOKIE answers. */
static struct slot *find_slot(struct connection *connection, uint64_t cookie)
{
	struct slot *slot = &connection->slots[cookie % LOAD_MAX_DEPTH];

	if (cookie % LOAD_MAX_DEPTH >= connection->depth || cookie == 0 || slot->cookie != cookie)
		errx(1, "protocol error: a reply with the unknown cookie %#" PRIx64, cookie);
	return slot;
}

static void take_error(const struct connection *connection, struct run *run, uint32_t error)
{
	const struct job *job = run->job;
	struct slot *slot = connection->reading;

	slot->missing = 0;
	complain(run, "error %" PRIu32 " for a %s of %" PRIu32 " bytes at offset %" PRIu64, error,
		 slot->flushing ? "FLUSH after a write" : job->write ? "write" : "read", job->block, slot->offset);
}

/* LENGTH bytes of data from OFFSET on come next. */
static void expect_data(struct connection *connection, const struct run *run, uint64_t offset, uint32_t length)
{
	connection->data_offset = offset;
	if (run->job->verify)
		connection->unchecked = length;
	else
		connection->skip = length;
}

/* A simple reply, or the first part of a chunk's header, up to the cookie. */
static void take_header(struct connection *connection, struct run *run, const uint8_t *header)
{
	const struct job *job = run->job;
	uint32_t magic = get_be32(header);
	uint32_t error = get_be32(header + 4);

	if (magic != (job->extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_SIMPLE_REPLY_MAGIC) &&
	    !(job->structured && !job->extended && magic == NBD_STRUCTURED_REPLY_MAGIC))
		errx(1, "protocol error: magic %#" PRIx32 " where a reply starts", magic);
	connection->reading = find_slot(connection, get_be64(header + 8));
	connection->last = true;
	if (magic != NBD_SIMPLE_REPLY_MAGIC) {
		connection->last = get_be16(header + 4) & NBD_REPLY_FLAG_DONE;
		connection->chunk = get_be16(header + 6);
		connection->chunk_head = length_size(job) + chunk_fields(connection->chunk);
	} else if (error) {
		take_error(connection, run, error);
	} else if (!job->write) {
		if (job->structured)
			errx(1, "protocol error: a simple reply to a read");
		expect_data(connection, run, connection->reading->offset, job->block);
	}
}

/* LENGTH bytes from OFFSET on of a read are told of. */
static void take_content(const struct connection *connection, const struct run *run, uint64_t offset, uint64_t length)
{
	struct slot *slot = connection->reading;

	if (run->job->write || length == 0 || length > slot->missing || offset < slot->offset ||
	    offset - slot->offset > run->job->block - length)
		errx(1, "protocol error: a chunk of %" PRIu64 " bytes at offset %" PRIu64 " for a request of %" PRIu32 " at offset %" PRIu64,
		     length, offset, run->job->block, slot->offset);
	if (run->job->verify && (offset | length) % STAMP_EVERY)
		errx(1, "--verify needs chunks of whole 4K, and one has %" PRIu64 " bytes at offset %" PRIu64, length, offset);
	slot->missing -= (uint32_t)length;
}

/* The rest of a chunk's header, and what precedes its data. */
static void take_chunk(struct connection *connection, struct run *run, const uint8_t *head)
{
	uint64_t whole = run->job->extended ? get_be64(head + 8) : get_be32(head);
	size_t rest = connection->chunk_head - length_size(run->job);
	uint64_t offset;
	uint32_t length;

	connection->chunk_head = 0;
	if (whole < rest || whole - rest > LOAD_MAX_BLOCK)
		errx(1, "protocol error: a chunk of type %" PRIu16 " with %" PRIu64 " bytes", connection->chunk, whole);
	if (run->job->extended && get_be64(head) != connection->reading->offset && !connection->reading->flushing)
		errx(1, "protocol error: a chunk of the request at offset %" PRIu64 " says %" PRIu64, connection->reading->offset,
		     get_be64(head));
	length = (uint32_t)(whole - rest);
	head += length_size(run->job);
	switch (connection->chunk) {
	case NBD_REPLY_TYPE_OFFSET_DATA:
		offset = get_be64(head);
		take_content(connection, run, offset, length);
		expect_data(connection, run, offset, length);
		return;
	case NBD_REPLY_TYPE_OFFSET_HOLE:
		offset = get_be64(head);
		take_content(connection, run, offset, get_be32(head + 8));
		run->result->hole_bytes += get_be32(head + 8);
		if (run->job->verify)
			complain(run, "wrong data: a hole at offset %" PRIu64, offset);
		break;
	case NBD_REPLY_TYPE_ERROR:
	case NBD_REPLY_TYPE_ERROR_OFFSET:
		take_error(connection, run, get_be32(head));
		break;
	default:
		break;
	}
	connection->skip = length;
}

/* Looks at the first bytes of the next 4 KiB of a read's payload and skips the rest. */
static void take_stamp(struct connection *connection, struct run *run, const uint8_t *at)
{
	uint64_t offset = connection->data_offset;

	if (!stamp_matches(at, offset, run->job->seed))
		complain(run, "wrong data at offset %" PRIu64 ", stamped as of %" PRIu64, offset, stamp_offset(at));
	connection->data_offset += STAMP_EVERY;
	connection->unchecked -= STAMP_EVERY;
	connection->skip = STAMP_EVERY - STAMP_SIZE;
}

static void complete(struct connection *connection, struct run *run)
{
	struct slot *slot = connection->reading;
	unsigned index = (unsigned)(slot - connection->slots);

	if (slot->missing)
		complain(run, "the reply to a read at offset %" PRIu64 " lacks %" PRIu32 " bytes", slot->offset, slot->missing);
	slot->cookie = 0;
	if (run->job->flush && !slot->flushing) {
		slot->flushing = true;
		connection->flushes[connection->flush_count++] = index;
		return;
	}
	slot->flushing = false;
	histogram_add(&run->result->latency, run->now - slot->sent_ns);
	run->result->requests++;
	connection->free_slots[connection->free_count++] = index;
}

/* A simple reply, or a chunk, is over. */
static void end_reply(struct connection *connection, struct run *run)
{
	if (connection->last)
		complete(connection, run);
	connection->reading = NULL;
}

static void parse(struct connection *connection, struct run *run, const uint8_t *at, size_t length)
{
	for (;;) {
		size_t skip = connection->skip < length ? connection->skip : length;
		size_t piece;

		connection->skip -= skip;
		at += skip;
		length -= skip;
		if (connection->skip)
			break;
		piece = connection->chunk_head ? connection->chunk_head : STAMP_SIZE;
		if (connection->reading && connection->unchecked == 0 && connection->chunk_head == 0)
			end_reply(connection, run);
		if (length < piece)
			break;
		if (connection->chunk_head)
			take_chunk(connection, run, at);
		else if (connection->reading)
			take_stamp(connection, run, at);
		else
			take_header(connection, run, at);
		at += piece;
		length -= piece;
	}
	memcpy(connection->carry, at, length);
	connection->carried = length;
}

void connection_receive(struct connection *connection, struct run *run, int flags)
{
	ssize_t got = stream_receive(&connection->stream, run->input + CARRY_SIZE, RECEIVE_SIZE, flags);
	size_t carried = connection->carried;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		err(1, "recv");
	if (got == 0)
		errx(1, "the server hung up");
	run->now = load_now_ns();
	memcpy(run->input + CARRY_SIZE - carried, connection->carry, carried);
	parse(connection, run, run->input + CARRY_SIZE - carried, carried + (size_t)got);
}
