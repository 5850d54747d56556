/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "bench/load_connection.h"

_Static_assert(NBD_SIMPLE_REPLY_SIZE == STAMP_SIZE, "the parser takes headers and stamps alike");

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

static void take_header(struct connection *connection, struct run *run, const uint8_t *header)
{
	const struct job *job = run->job;
	uint32_t error = get_be32(header + 4);
	uint64_t cookie = get_be64(header + 8);
	struct slot *slot = &connection->slots[cookie % LOAD_MAX_DEPTH];

	if (get_be32(header) != NBD_SIMPLE_REPLY_MAGIC)
		errx(1, "protocol error: magic %#" PRIx32 " where a simple reply starts", get_be32(header));
	if (cookie % LOAD_MAX_DEPTH >= connection->depth || cookie == 0 || slot->cookie != cookie)
		errx(1, "protocol error: a reply with the unknown cookie %#" PRIx64, cookie);
	connection->reading = slot;
	if (error)
		complain(run, "error %" PRIu32 " for a %s of %" PRIu32 " bytes at offset %" PRIu64, error,
			 slot->flushing ? "FLUSH after a write" : job->write ? "write" : "read", job->block, slot->offset);
	else if (!job->write && job->verify)
		connection->unchecked = job->block;
	else if (!job->write)
		connection->skip = job->block;
}

/* Looks at the first bytes of the next 4 KiB of a read's payload and skips the rest. */
static void take_stamp(struct connection *connection, struct run *run, const uint8_t *at)
{
	uint64_t offset = connection->reading->offset + run->job->block - connection->unchecked;

	if (!stamp_matches(at, offset, run->job->seed))
		complain(run, "wrong data at offset %" PRIu64 ", stamped as of %" PRIu64, offset, stamp_offset(at));
	connection->unchecked -= STAMP_EVERY;
	connection->skip = STAMP_EVERY - STAMP_SIZE;
}

static void complete(struct connection *connection, struct run *run)
{
	struct slot *slot = connection->reading;
	unsigned index = (unsigned)(slot - connection->slots);

	slot->cookie = 0;
	connection->reading = NULL;
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

static void parse(struct connection *connection, struct run *run, const uint8_t *at, size_t length)
{
	for (;;) {
		size_t skip = connection->skip < length ? connection->skip : length;

		connection->skip -= skip;
		at += skip;
		length -= skip;
		if (connection->skip)
			break;
		if (connection->reading && connection->unchecked == 0)
			complete(connection, run);
		if (length < STAMP_SIZE)
			break;
		if (connection->reading)
			take_stamp(connection, run, at);
		else
			take_header(connection, run, at);
		at += STAMP_SIZE;
		length -= STAMP_SIZE;
	}
	memcpy(connection->carry, at, length);
	connection->carried = length;
}

void connection_receive(struct connection *connection, struct run *run, int flags)
{
	ssize_t got = recv(connection->fd, run->input + STAMP_SIZE, RECEIVE_SIZE, flags);
	size_t carried = connection->carried;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		err(1, "recv");
	if (got == 0)
		errx(1, "the server hung up");
	run->now = load_now_ns();
	memcpy(run->input + STAMP_SIZE - carried, connection->carry, carried);
	parse(connection, run, run->input + STAMP_SIZE - carried, carried + (size_t)got);
}
