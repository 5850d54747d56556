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
#include "server/nbd/context.h"
#include "server/nbd/info.h"
#include "server/nbd/reply.h"
#include "server/nbd/session.h"

/* A request's header, as the client sent it. */
struct header {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
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

void transmission_start(struct nbd_session *session)
{
	session->state = NBD_STATE_TRANSMISSION;
	session->want = NBD_WANT_BYTES;
	session->need = NBD_REQUEST_SIZE;
	session->flags = info_flags(session);
	context_start(session);
}

static void done(struct request *request)
{
	struct nbd_session *session = request->owner;

	/* What isn't sent is needed no more. */
	if (request->error || (request->driver.op != PLATTER_OP_READ && request->driver.op != PLATTER_OP_EXTENTS)) {
		session->in_flight_bytes -= request->reserved;
		request_release_data(request);
	}
	reply_build(request, session->structured);
	if (session->muted || session->dropping)
		nbd_sent(session, request);
	else
		list_add_tail(&request->link, &session->replies);
	session->notify(session);
}

static void start(struct nbd_session *session, struct request *request)
{
	if (session->hung_up)
		list_add_tail(&request->link, &session->held);
	else
		disk_submit(session->export->disk, session->block, request);
}

/* 0, or the error that the request gets without having been tried. */
static int validate(const struct nbd_session *session, const struct header *header)
{
	uint32_t block = session->export->disk->geometry.min_block;
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
	if (header->flags & ~allowed)
		return -EINVAL;
	if (command->writes && (session->flags & NBD_FLAG_READ_ONLY))
		return -EPERM;
	if (!(session->flags & command->needs))
		return -EINVAL;
	if (header->type == NBD_CMD_FLUSH)
		return header->offset || header->length ? -EINVAL : 0;
	/* As it is now: a client may know better than we told it at GO that the disk has grown. */
	if (!range_within(header->offset, header->length, disk_capacity(session->export->disk)))
		return command->writes && header->type != NBD_CMD_TRIM ? -ENOSPC : -EINVAL;
	if ((header->offset | header->length) & (block - 1))
		return -EINVAL;
	if (header->type == NBD_CMD_READ && header->length > NBD_MOST_PAYLOAD)
		return -EINVAL;
	/* Of nothing there is no status. */
	if (header->type == NBD_CMD_BLOCK_STATUS && (!session->contexts || header->length == 0))
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
	request->unfragmented = header->flags & NBD_CMD_FLAG_DF;
	request->sparse = header->type == NBD_CMD_READ && session->structured && !request->unfragmented;
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
	const struct platter_geometry *geometry = &session->export->disk->geometry;

	if (header->type == NBD_CMD_WRITE)
		return header->length;
	if (header->type == NBD_CMD_READ && !(geometry->capabilities & PLATTER_DISK_LENDS))
		return request_footprint(header->length);
	if (header->type == NBD_CMD_BLOCK_STATUS && !(header->flags & NBD_CMD_FLAG_REQ_ONE))
		return CONTEXT_MOST_EXTENTS * sizeof(struct extent);
	return 0;
}

static int prepare_status(const struct nbd_session *session, struct request *request)
{
	unsigned most = request->driver.flags & PLATTER_REQ_ONE ? 1 : CONTEXT_MOST_EXTENTS;

	request->extents = extents_new(request->driver.length, session->export->disk->geometry.min_block, most);
	return request->extents ? 0 : -ENOMEM;
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
	else if (header->type == NBD_CMD_BLOCK_STATUS)
		result = prepare_status(session, request);
	if (result < 0) {
		request->error = result;
		done(request);
	} else {
		start(session, request);
	}
}

/* A request that is refused, or has nothing to do; a WRITE's payload is still to be thrown away. */
static void refuse(struct nbd_session *session, const struct header *header, int error)
{
	answer(session, header, error);
	if (session->want == NBD_WANT_BYTES && header->type == NBD_CMD_WRITE && header->length) {
		session->skip = header->length;
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

size_t transmission_feed(struct nbd_session *session, const uint8_t *bytes, size_t length)
{
	struct header header;
	uint64_t memory;
	int error;

	session->want = NBD_WANT_BYTES;
	session->need = NBD_REQUEST_SIZE;
	if (length < NBD_REQUEST_SIZE)
		return 0;
	if (get_be32(bytes) != NBD_REQUEST_MAGIC)
		return stop(session, NBD_WANT_DROP, "a request without its magic");
	header.flags = get_be16(bytes + 4);
	header.type = get_be16(bytes + 6);
	header.cookie = get_be64(bytes + 8);
	header.offset = get_be64(bytes + 16);
	header.length = get_be32(bytes + 24);
	if (header.type == NBD_CMD_DISC) {
		disconnect(session);
		return NBD_REQUEST_SIZE;
	}
	if (header.type == NBD_CMD_WRITE && header.length > NBD_MOST_PAYLOAD)
		return stop(session, NBD_WANT_DROP, "a write of more than 64 MiB");
	error = validate(session, &header);
	/* What only fetches an answer is pointless when nobody waits for it. */
	if (session->hung_up && header.type != NBD_CMD_WRITE && (error || !commands[header.type].writes))
		return NBD_REQUEST_SIZE;
	memory = error ? 0 : memory_for(session, &header);
	if (in_flight_full(session, memory))
		return stop(session, NBD_WANT_ROOM, NULL);
	if (error || (header.length == 0 && header.type != NBD_CMD_FLUSH)) {
		refuse(session, &header, error);
		return NBD_REQUEST_SIZE;
	}
	if (memory && !budget_take(&session->block->budget, memory, session->in_flight == 0 || session->hung_up, &session->memory))
		return stop(session, NBD_WANT_MEMORY, NULL);
	admit(session, &header, memory);
	return NBD_REQUEST_SIZE;
}

void transmission_payload_done(struct nbd_session *session)
{
	struct request *request = session->payload;

	session->payload = NULL;
	session->want = NBD_WANT_BYTES;
	session->need = NBD_REQUEST_SIZE;
	start(session, request);
}
