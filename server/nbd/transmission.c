/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transmission phase: request headers in, validated before anything is
 * allocated, then into the disk's queue; finished requests out.
 */
#include "server/nbd/transmission.h"

#include <errno.h>

#include "common/checked.h"
#include "common/wire.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/extents.h"
#include "server/block/request.h"
#include "server/block/unaligned.h"
#include "server/nbd/context.h"
#include "server/nbd/info.h"
#include "server/nbd/reply.h"
#include "server/nbd/session.h"

/* A request's header, as the client sent it. */
struct header {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint64_t length;   /* of the disk; of a WRITE that of the payload, too */
	uint64_t payload;  /* bytes that follow */
	uint32_t contexts; /* of a BLOCK_STATUS: bits, what it asks for */
};

/* What each command is called inside, which flag of the export allows it, and which flags it takes besides FUA. */
static const struct command {
	enum platter_op op;
	uint16_t needs;
	uint16_t flags;
	bool writes;
} commands[] = {
	[NBD_CMD_READ] = { PLATTER_OP_READ, NBD_FLAG_HAS_FLAGS, 0, false },
	[NBD_CMD_WRITE] = { PLATTER_OP_WRITE, NBD_FLAG_HAS_FLAGS, 0, true },
	[NBD_CMD_DISC] = { 0, 0, 0, false },
	[NBD_CMD_FLUSH] = { PLATTER_OP_FLUSH, NBD_FLAG_SEND_FLUSH, 0, false },
	[NBD_CMD_TRIM] = { PLATTER_OP_TRIM, NBD_FLAG_SEND_TRIM, 0, true },
	[NBD_CMD_CACHE] = { PLATTER_OP_CACHE, NBD_FLAG_SEND_CACHE, 0, false },
	[NBD_CMD_WRITE_ZEROES] = { PLATTER_OP_ZEROES, NBD_FLAG_SEND_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
				   true },
	[NBD_CMD_BLOCK_STATUS] = { PLATTER_OP_EXTENTS, NBD_FLAG_HAS_FLAGS, NBD_CMD_FLAG_REQ_ONE, false },
};

size_t transmission_header_size(const struct nbd_session *session)
{
	return session->form == REPLY_EXTENDED ? NBD_EXTENDED_REQUEST_SIZE : NBD_REQUEST_SIZE;
}

static void want_header(struct nbd_session *session)
{
	session->want = NBD_WANT_BYTES;
	session->need = transmission_header_size(session);
}

void transmission_start(struct nbd_session *session)
{
	session->state = NBD_STATE_TRANSMISSION;
	want_header(session);
	session->flags = info_flags(session);
	if (session->contexts_of != session->export)
		context_forget(session);
}

static void start(struct nbd_session *session, struct request *request)
{
	if (session->hung_up)
		list_add_tail(&request->link, &session->held);
	else if (unaligned_concerns(session->export->disk, request->driver.offset, request->driver.length))
		unaligned_submit(session->export->disk, session->block, request);
	else
		disk_submit(session->export->disk, session->block, request);
}

/* Of a BLOCK_STATUS that has succeeded so far: whether the disk is asked again; else its answer is made, or it has failed. */
static bool ask_next(struct nbd_session *session, struct request *request)
{
	int result = context_prepare(session, request);

	if (result > 0 && !session->hung_up) {
		start(session, request);
		return true;
	}
	/* Nobody would wait for what the disk has to say. */
	if (result > 0)
		result = -ECANCELED;
	request->error = result < 0 ? result : context_put_status(session, request);
	return false;
}

static void done(struct request *request)
{
	struct nbd_session *session = request->owner;
	bool made = false;

	if (request->driver.op == PLATTER_OP_EXTENTS && request->error == 0) {
		if (ask_next(session, request))
			return;
		made = request->error == 0;
	}
	/* What isn't sent is needed no more. */
	if (!made && !reply_has_data(request)) {
		session->in_flight_bytes -= request->reserved;
		request_release_data(request);
	}
	if (!made)
		reply_build(request);
	if (session->muted || session->dropping)
		nbd_sent(session, request);
	else
		list_add_tail(&request->link, &session->replies);
	session->notify(session);
}

/* A BLOCK_STATUS that says in its payload which contexts it asks for. */
static bool takes_contexts(const struct nbd_session *session, const struct header *header)
{
	return header->type == NBD_CMD_BLOCK_STATUS && (header->flags & NBD_CMD_FLAG_PAYLOAD_LEN) &&
	       (session->flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD);
}

/* 0, or the error that the request gets without having been tried. */
static int validate(const struct nbd_session *session, const struct header *header)
{
	struct disk *disk = session->export->disk;
	const struct command *command;
	uint16_t allowed;

	if (header->type >= sizeof(commands) / sizeof(commands[0]))
		return -EINVAL;
	command = &commands[header->type];
	allowed = command->flags;
	if (session->flags & NBD_FLAG_SEND_FUA)
		allowed |= NBD_CMD_FLAG_FUA;
	if (header->type == NBD_CMD_READ && (session->flags & NBD_FLAG_SEND_DF))
		allowed |= NBD_CMD_FLAG_DF;
	if (session->form == REPLY_EXTENDED && (header->type == NBD_CMD_WRITE || takes_contexts(session, header)))
		allowed |= NBD_CMD_FLAG_PAYLOAD_LEN;
	if (header->flags & ~allowed)
		return -EINVAL;
	/* With extended headers a WRITE has to say that a payload follows, and hardly anything else may. */
	if (session->form == REPLY_EXTENDED && header->type == NBD_CMD_WRITE && header->payload != header->length)
		return -EINVAL;
	if (command->writes && (session->flags & NBD_FLAG_READ_ONLY))
		return -EPERM;
	if (!(session->flags & command->needs))
		return -EINVAL;
	if (header->type == NBD_CMD_FLUSH)
		return header->offset || header->length ? -EINVAL : 0;
	/* As it is now: a client may know better than we told it at GO that the disk has grown. */
	if (!range_within(header->offset, header->length, disk_capacity(disk)))
		return command->writes && header->type != NBD_CMD_TRIM ? -ENOSPC : -EINVAL;
	if (unaligned_concerns(disk, header->offset, header->length) && !disk_whole(disk)->emulates)
		return -EINVAL;
	if (header->type == NBD_CMD_READ && header->length > NBD_MOST_PAYLOAD)
		return -EINVAL;
	/* Of nothing there is no status. */
	if (header->type == NBD_CMD_BLOCK_STATUS && (!header->contexts || header->length == 0))
		return -EINVAL;
	return 0;
}

static struct request *take(struct nbd_session *session, const struct header *header)
{
	struct request *request = request_get(session->block);

	if (!request)
		return NULL;
	request->done = done;
	request->owner = session;
	request->from = &session->software;
	request->cookie = header->cookie;
	request->position = header->offset;
	request->form = session->form;
	request->contexts = header->contexts;
	request->unfragmented = header->flags & NBD_CMD_FLAG_DF;
	request->sparse = header->type == NBD_CMD_READ && session->form != REPLY_SIMPLE && !request->unfragmented;
	request->driver.flags = 0;
	request->driver.offset = header->offset;
	request->driver.length = header->length;
	if (header->flags & NBD_CMD_FLAG_FUA)
		request->driver.flags |= PLATTER_REQ_FUA;
	if (header->flags & NBD_CMD_FLAG_NO_HOLE)
		request->driver.flags |= PLATTER_REQ_NO_HOLE;
	if (header->flags & NBD_CMD_FLAG_FAST_ZERO)
		request->driver.flags |= PLATTER_REQ_FAST_ZERO;
	if (header->flags & NBD_CMD_FLAG_REQ_ONE)
		request->driver.flags |= PLATTER_REQ_ONE;
	session->in_flight++;
	session->block->requests++;
	return request;
}

/* Answers without asking the disk. */
static void answer(struct nbd_session *session, const struct header *header, int error)
{
	struct request *request = take(session, header);

	if (!request) {
		session->state = NBD_STATE_CLOSING;
		session->want = NBD_WANT_DROP;
		session->reason = "no memory for a reply";
		return;
	}
	/* Of the others any, but a read's reply has a form of its own. */
	request->driver.op = header->type == NBD_CMD_READ ? PLATTER_OP_READ : PLATTER_OP_FLUSH;
	request->error = error;
	done(request);
}

/* Memory that the request's data will take here. */
static uint64_t memory_for(const struct nbd_session *session, const struct header *header)
{
	const struct disk *disk = session->export->disk;
	bool has_data = header->type == NBD_CMD_READ || header->type == NBD_CMD_WRITE;
	uint64_t memory = 0;

	if (header->type == NBD_CMD_WRITE)
		memory = header->length;
	else if (header->type == NBD_CMD_READ && !(disk->geometry.capabilities & PLATTER_DISK_LENDS))
		memory = request_footprint(header->length);
	else if (header->type == NBD_CMD_BLOCK_STATUS)
		return context_memory(header->contexts, header->flags & NBD_CMD_FLAG_REQ_ONE);
	if (unaligned_concerns(disk, header->offset, header->length))
		memory += unaligned_footprint(disk, has_data ? header->length : 0);
	return memory;
}

/* Room for a READ's data, or for the segments that the driver lends. */
static int prepare_read(const struct nbd_session *session, struct request *request)
{
	if (session->export->disk->geometry.capabilities & PLATTER_DISK_LENDS)
		return request_reserve_segments(request, (unsigned)(request->driver.length / BUFFER_SEGMENT_SIZE + 2));
	return request_allocate(request);
}

/* A valid request: whether its WRITE payload comes next or it goes straight to the disk. */
static void admit(struct nbd_session *session, const struct header *header, uint64_t memory)
{
	struct request *request = take(session, header);
	int result = 0;

	if (!request) {
		budget_release(&session->block->budget, memory);
		session->state = NBD_STATE_CLOSING;
		session->want = NBD_WANT_DROP;
		session->reason = "no memory for a request";
		return;
	}
	request->driver.op = (uint16_t)commands[header->type].op;
	/* FUA means nothing on what doesn't write, but clients send it. */
	if (!commands[header->type].writes)
		request->driver.flags &= PLATTER_REQ_ONE;
	request->reserved = memory;
	session->in_flight_bytes += memory;
	if (header->type == NBD_CMD_WRITE) {
		session->payload = request;
		session->want = NBD_WANT_PAYLOAD;
		return;
	}
	if (header->type == NBD_CMD_READ)
		result = prepare_read(session, request);
	if (result < 0) {
		request->error = result;
		done(request);
	} else if (header->type == NBD_CMD_BLOCK_STATUS) {
		/* Which asks the disk what only that knows. */
		done(request);
	} else {
		start(session, request);
	}
}

/* A request that is refused, or has nothing to do; its payload is still to be thrown away. */
static void refuse(struct nbd_session *session, const struct header *header, int error)
{
	answer(session, header, error);
	if (session->want == NBD_WANT_BYTES && header->payload) {
		session->skip = header->payload;
		session->want = NBD_WANT_SKIP;
	}
}

static void disconnect(struct nbd_session *session)
{
	struct list_head *node;

	/* The client took its leave properly: what it sent last counts. */
	session->hung_up = false;
	while ((node = list_pop(&session->held)))
		start(session, container_of(node, struct request, link));
	session->state = NBD_STATE_CLOSING;
	session->want = NBD_WANT_CLOSE;
}

static struct queue *queue_of(const struct nbd_session *session)
{
	return &disk_whole(session->export->disk)->queues[session->block->index];
}

static bool in_flight_full(const struct nbd_session *session, uint64_t memory)
{
	struct queue *queue = queue_of(session);

	/* One is always let in; and it finds the limits as they are now, which else are looked at with each dispatch. */
	if (session->in_flight == 0) {
		limits_refresh(queue);
		return false;
	}
	/* Behind a hang-up there is only what was in the socket, and waiting would be forever. */
	return !session->hung_up && (session->in_flight >= queue->limits.nr_requests ||
				     session->in_flight_bytes + memory > NBD_MOST_IN_FLIGHT_BYTES);
}

static size_t stop(struct nbd_session *session, enum nbd_want want, const char *reason)
{
	if (want == NBD_WANT_DROP)
		session->state = NBD_STATE_CLOSING;
	session->want = want;
	session->reason = reason;
	return 0;
}

static bool read_header(const struct nbd_session *session, const uint8_t *bytes, struct header *header)
{
	bool extended = session->form == REPLY_EXTENDED;

	header->flags = get_be16(bytes + 4);
	header->type = get_be16(bytes + 6);
	header->cookie = get_be64(bytes + 8);
	header->offset = get_be64(bytes + 16);
	header->length = extended ? get_be64(bytes + 24) : get_be32(bytes + 24);
	header->payload = 0;
	if (extended ? header->flags & NBD_CMD_FLAG_PAYLOAD_LEN : header->type == NBD_CMD_WRITE)
		header->payload = header->length;
	header->contexts = header->type == NBD_CMD_BLOCK_STATUS && !takes_contexts(session, header) ? context_all(session) : 0;
	return get_be32(bytes) == (extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
}

/* Of a BLOCK_STATUS that asks for some of the contexts: its length, and which, are in its payload, at BYTES. */
static void read_contexts(const struct nbd_session *session, const uint8_t *bytes, struct header *header)
{
	header->length = get_be64(bytes);
	header->contexts = context_by_ids(session, bytes + NBD_STATUS_PAYLOAD_SIZE, header->payload - NBD_STATUS_PAYLOAD_SIZE);
	header->payload = 0;
}

/* How many bytes of input tell what HEADER asks for; a payload that can't do so isn't among them, and no context is left. */
static size_t whole_size(const struct nbd_session *session, const struct header *header)
{
	size_t size = transmission_header_size(session);

	if (takes_contexts(session, header) && header->payload >= NBD_STATUS_PAYLOAD_SIZE &&
	    header->payload <= NBD_STATUS_PAYLOAD_SIZE + 4 * CONTEXT_MOST)
		size += header->payload;
	return size;
}

/* A request whose header, and what belongs to it, are all there: SIZE bytes.  Returns how many of them it is done with. */
static size_t take_in(struct nbd_session *session, const struct header *header, size_t size)
{
	uint64_t memory;
	int error = validate(session, header);

	/* What only fetches an answer is pointless when nobody waits for it. */
	if (session->hung_up && !header->payload && (error || !commands[header->type].writes))
		return size;
	memory = error ? 0 : memory_for(session, header);
	if (in_flight_full(session, memory))
		return stop(session, NBD_WANT_ROOM, NULL);
	if (error || (header->length == 0 && header->type != NBD_CMD_FLUSH)) {
		refuse(session, header, error);
		return size;
	}
	if (memory && !budget_take(&session->block->budget, memory, session->in_flight == 0 || session->hung_up, &session->memory))
		return stop(session, NBD_WANT_MEMORY, NULL);
	admit(session, header, memory);
	return size;
}

size_t transmission_feed(struct nbd_session *session, const uint8_t *bytes, size_t length)
{
	size_t size = transmission_header_size(session);
	struct header header;

	want_header(session);
	if (length < size)
		return 0;
	if (!read_header(session, bytes, &header))
		return stop(session, NBD_WANT_DROP, "a request without its magic");
	if (header.payload > NBD_MOST_PAYLOAD)
		return stop(session, NBD_WANT_DROP, "a payload of more than 64 MiB");
	if (header.type == NBD_CMD_DISC) {
		disconnect(session);
		return size;
	}
	session->need = whole_size(session, &header);
	if (length < session->need)
		return 0;
	if (session->need > size)
		read_contexts(session, bytes + size, &header);
	size = session->need;
	want_header(session);
	return take_in(session, &header, size);
}

void transmission_payload_done(struct nbd_session *session)
{
	struct request *request = session->payload;

	session->payload = NULL;
	want_header(session);
	start(session, request);
}
