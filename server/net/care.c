/* SPDX-License-Identifier: BSD-2-Clause */
/* The care of connections that goes on beside the data: deadlines, idle buffers, shutdown. */
#include <string.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/net/conn.h"
#include "server/reactor.h"

/* Ticks without progress after which a connection must give up memory that others wait for. */
#define STALL_TICKS 10

static const char *deadline_reason(const struct conn *conn)
{
	if (conn->lingering)
		return NULL;
	if (conn->draining || conn->reactor->stopping)
		return "it did not read its replies before the end";
	return "its handshake took too long";
}

/* At the end: the client's time to read begins when there is something to read. */
static bool waits_for_disk(const struct conn *conn)
{
	return conn->draining && !conn->lingering && conn->session.in_flight && list_empty(&conn->session.replies) &&
	       !(conn->in_flight & CONN_SEND);
}

/* An idle connection that still receives into a large buffer: has it start again with its small one. */
static void shrink(struct conn *conn)
{
	if (!(conn->input.large || (conn->tls && tls_is_large(conn->tls))) || input_length(&conn->input) ||
	    conn->session.want != NBD_WANT_BYTES || !(conn->in_flight & CONN_RECV))
		return;
	reactor_need_tick(conn->reactor);
	if (conn->last_progress + 1 >= conn->reactor->ticks)
		return;
	conn->input.last = conn->input.lately = 0;
	if (conn->tls)
		tls_received(conn->tls, 0); /* which is little, so that it takes its small one, too */
	engine_cancel(conn->reactor->engine, &conn->recv_op);
}

static void care(struct conn *conn)
{
	struct reactor *reactor = conn->reactor;
	bool wanted = !list_empty(&reactor->block.budget.waiters);

	if (conn->dead)
		return;
	if (conn->deadline) {
		reactor_need_tick(reactor);
		if (waits_for_disk(conn))
			conn_drain_deadline(conn);
		else if (reactor->ticks >= conn->deadline)
			conn_kill(conn, deadline_reason(conn));
		return;
	}
	if (wanted)
		reactor_need_tick(reactor);
	if (wanted && conn->session.in_flight_bytes && conn->last_progress + STALL_TICKS < reactor->ticks &&
	    (conn->session.payload || (conn->in_flight & CONN_SEND))) {
		conn_kill(conn, "it made no progress while others waited for memory");
		return;
	}
	shrink(conn);
}

void conn_tick(struct reactor *reactor)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &reactor->connections)
		care(container_of(node, struct conn, link));
}

void conn_stop_all(struct reactor *reactor)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &reactor->connections)
		conn_drain(container_of(node, struct conn, link));
}

void conn_drain_users(struct reactor *reactor, const struct disk *disk, const char *name)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, &reactor->connections) {
		struct conn *conn = container_of(node, struct conn, link);
		const struct export *export = conn->session.export;
		bool of_disk = export && disk && (export->disk == disk || export->disk->whole == disk);

		if (of_disk || (export && name && strcmp(export->name, name) == 0))
			conn_drain(conn);
	}
}
