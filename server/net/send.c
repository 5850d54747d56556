/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending: one gather send in flight per connection, of everything that was ready when it started. */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "server/block/request.h"
#include "server/net/conn.h"
#include "server/reactor.h"

#define MOST_SEGMENTS (BUFFER_SMALL_SIZE / sizeof(struct iovec))
/* In one send: its end is the progress that a slow client shows. */
#define MOST_BYTES (4u << 20)

struct gather {
	struct iovec *iov;
	unsigned count;
	size_t skip;  /* bytes of what comes next that were sent before */
	size_t bytes; /* gathered */
};

static void add(struct gather *gather, void *bytes, size_t length)
{
	if (gather->skip >= length) {
		gather->skip -= length;
		return;
	}
	gather->iov[gather->count++] = (struct iovec){ (uint8_t *)bytes + gather->skip, length - gather->skip };
	gather->bytes += length - gather->skip;
	gather->skip = 0;
}

static bool is_full(const struct gather *gather)
{
	return gather->count == MOST_SEGMENTS || gather->bytes >= MOST_BYTES;
}

/* Stops in the middle of a reply when it is full. */
static void add_reply(struct gather *gather, struct request *request)
{
	add(gather, request->header, request->header_length);
	for (unsigned i = 0; i < request->driver.iovcnt && !is_full(gather); i++)
		add(gather, request->driver.iov[i].iov_base, request->driver.iov[i].iov_len);
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
		size_t length = request->answer_length;

		if (conn->sent < length)
			return;
		conn->sent -= length;
		list_del_init(&request->link);
		nbd_sent(session, request);
	}
}

static void fill(const struct conn *conn, struct gather *gather)
{
	const struct nbd_session *session = &conn->session;
	struct list_head *node;

	if (session->out.length)
		add(gather, session->out.bytes, session->out.length);
	list_for_each(node, &session->replies) {
		if (is_full(gather))
			break;
		add_reply(gather, container_of(node, struct request, link));
	}
}

static bool has_output(const struct conn *conn)
{
	return conn->session.out.length || !list_empty(&conn->session.replies) || conn_has_sealed(conn);
}

void conn_send(struct conn *conn)
{
	struct gather gather = { .skip = conn->sent };

	if (conn->dead || conn->moving_to || (conn->in_flight & CONN_SEND) || !has_output(conn))
		return;
	if (!conn->vector)
		conn->vector = buffer_get(&conn->reactor->block.buffers, BUFFER_SMALL);
	if (!conn->vector || conn->session.out.failed) {
		conn_kill(conn, "no memory for a reply");
		return;
	}
	gather.iov = (struct iovec *)(void *)conn->vector->memory;
	fill(conn, &gather);
	if (conn_is_sealed(conn)) {
		if (!conn_seal(conn, gather.iov, gather.count))
			return;
		gather.iov = &conn->sealed;
		gather.count = 1;
	}
	/* Kernel TLS refuses what it doesn't know. */
	engine_sendv(conn->reactor->engine, &conn->send_op, conn->fd, gather.iov, gather.count,
		     conn->tls && tls_in_kernel(conn->tls) ? 0 : MSG_WAITALL);
	conn_op_started(conn, CONN_SEND);
}

/* The client reads no more; what it sent before may still be worth something: see nbd_hang_up(). */
static void send_failed(struct conn *conn, int error)
{
	if (conn->session.state != NBD_STATE_TRANSMISSION && conn->session.state != NBD_STATE_CLOSING) {
		conn_kill(conn, strerror(-error));
		return;
	}
	conn_log(conn, DEBUG, "replies cannot be sent: %s", strerror(-error));
	/* On a unix socket it could go on sending for ever, and all of it would be held. */
	shutdown(conn->fd, SHUT_RD);
	conn_forget_sealed(conn);
	conn->sent = 0;
	nbd_mute(&conn->session);
	nbd_hang_up(&conn->session);
	conn_want_parse(conn);
}

void conn_send_done(struct engine_op *op, int result)
{
	struct conn *conn = container_of(op, struct conn, send_op);

	conn_op_back(conn, CONN_SEND);
	/* Kernel TLS waits for a lock of the socket, and doesn't while the thread is wanted for something else: nothing is sent yet. */
	if (!conn->dead && result < 0 && result != -EINTR)
		send_failed(conn, result);
	if (!conn->dead && result > 0) {
		conn->sent += conn_is_sealed(conn) ? conn_sealed_sent(conn, (size_t)result) : (size_t)result;
		release_sent(conn);
	}
	if (!conn->dead && result > 0 && conn->securing)
		conn_secure_sent(conn);
	if (!conn->dead && has_output(conn)) {
		conn->session.notify(&conn->session);
	} else {
		buffer_put(conn->vector);
		conn->vector = NULL;
	}
	/* What waited for room, or has nothing in flight now, may go on; what only waited for this may end or move. */
	if (conn->dead || conn->finishing || conn->moving_to || conn->session.want == NBD_WANT_ROOM ||
	    conn->session.want == NBD_WANT_MEMORY || conn->session.want == NBD_WANT_TLS ||
	    (conn->tls && tls_wants_handover(conn->tls)))
		conn_want_parse(conn);
}
