/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending: one gather send in flight per connection, of everything that was ready when it started. */
#include <errno.h>
#include <string.h>

#include "server/block/request.h"
#include "server/net/conn.h"
#include "server/reactor.h"

#define MOST_SEGMENTS (BUFFER_SMALL_SIZE / sizeof(struct iovec))

struct gather {
	struct iovec *iov;
	unsigned count;
	size_t skip; /* bytes of what comes next that were sent before */
};

static void add(struct gather *gather, void *bytes, size_t length)
{
	if (gather->skip >= length) {
		gather->skip -= length;
		return;
	}
	gather->iov[gather->count++] = (struct iovec){ (uint8_t *)bytes + gather->skip, length - gather->skip };
	gather->skip = 0;
}

/* Stops in the middle of a reply when the vector is full. */
static void add_reply(struct gather *gather, struct request *request)
{
	add(gather, request->header, NBD_SIMPLE_REPLY_SIZE);
	for (unsigned i = 0; i < request->driver.iovcnt && gather->count < MOST_SEGMENTS; i++)
		add(gather, request->driver.iov[i].iov_base, request->driver.iov[i].iov_len);
}

static size_t reply_length(const struct request *request)
{
	return NBD_SIMPLE_REPLY_SIZE + (request->driver.iovcnt ? request->driver.length : 0);
}

/* Frees what has been sent whole; the rest stays at the head. */
static void release_sent(struct conn *conn)
{
	struct nbd_session *session = &conn->session;

	if (session->out.length) {
		if (conn->sent < session->out.length)
			return;
		conn->sent -= session->out.length;
		output_free(&session->out);
	}
	while (!list_empty(&session->replies)) {
		struct request *request = list_first_entry(&session->replies, struct request, link);
		size_t length = reply_length(request);

		if (conn->sent < length)
			return;
		conn->sent -= length;
		list_del_init(&request->link);
		nbd_sent(session, request);
	}
}

/* Gathers all that is ready; the number of bytes, 0 when there is nothing. */
static size_t fill(struct conn *conn, struct gather *gather)
{
	struct nbd_session *session = &conn->session;
	struct list_head *node;
	size_t length = 0;

	if (session->out.length)
		add(gather, session->out.bytes, session->out.length);
	list_for_each(node, &session->replies) {
		if (gather->count == MOST_SEGMENTS)
			break;
		add_reply(gather, container_of(node, struct request, link));
	}
	for (unsigned i = 0; i < gather->count; i++)
		length += gather->iov[i].iov_len;
	return length;
}

static bool has_output(const struct conn *conn)
{
	return conn->session.out.length || !list_empty(&conn->session.replies);
}

/* SENT bytes are out. */
static void sent(struct conn *conn, size_t bytes)
{
	conn->sent += bytes;
	conn->last_progress = conn->reactor->ticks;
	release_sent(conn);
	/* What waited for room may go on, and a connection that only waited for this may end. */
	if (conn->session.want == NBD_WANT_ROOM || conn->finishing)
		conn_want_parse(conn);
}

/* The socket is full: the rest goes by itself as the client reads. */
static void send_later(struct conn *conn)
{
	struct gather gather = { .skip = conn->sent };

	if (!conn->vector)
		conn->vector = buffer_get(&conn->reactor->block.buffers, BUFFER_SMALL);
	if (!conn->vector) {
		conn_kill(conn, "no memory for a reply");
		return;
	}
	gather.iov = (struct iovec *)(void *)conn->vector->memory;
	fill(conn, &gather);
	engine_sendv(conn->reactor->engine, &conn->send_op, conn->fd, gather.iov, gather.count);
	conn->in_flight |= CONN_SEND;
}

void conn_send(struct conn *conn)
{
	struct iovec vector[MOST_SEGMENTS];

	while (!conn->dead && !conn->moving_to && !(conn->in_flight & CONN_SEND) && has_output(conn)) {
		struct gather gather = { .iov = vector, .skip = conn->sent };
		size_t length = fill(conn, &gather);
		ssize_t result;

		if (conn->session.out.failed) {
			conn_kill(conn, "no memory for a reply");
			return;
		}
		result = engine_send_now(conn->reactor->engine, conn->fd, gather.iov, gather.count);
		if (result < 0 && result != -EAGAIN) {
			conn_kill(conn, result == -EPIPE || result == -ECONNRESET ? "the client hung up" : strerror((int)-result));
			return;
		}
		if (result > 0)
			sent(conn, (size_t)result);
		if (result < (ssize_t)length) {
			send_later(conn);
			return;
		}
	}
}

void conn_send_done(struct engine_op *op, int result)
{
	struct conn *conn = container_of(op, struct conn, send_op);

	conn_op_back(conn, CONN_SEND);
	conn_want_parse(conn);
	if (conn->dead)
		return;
	if (result < 0) {
		conn_kill(conn, result == -EPIPE || result == -ECONNRESET ? "the client hung up" : strerror(-result));
		return;
	}
	sent(conn, (size_t)result);
	if (has_output(conn)) {
		conn->session.notify(&conn->session);
		return;
	}
	buffer_put(conn->vector);
	conn->vector = NULL;
}
