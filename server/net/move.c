/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/move.h"

#include <poll.h>

#include "server/block/buffer.h"
#include "server/net/conn.h"
#include "server/reactor.h"

void conn_enter(struct conn *conn)
{
	conn->deadline = 0;
	conn->last_progress = conn->reactor->ticks;
	engine_poll(conn->reactor->engine, &conn->hup_op, conn->fd, POLLRDHUP);
	conn->in_flight |= CONN_HUP;
}

/* On the new reactor. */
static void arrive(struct engine_message *message)
{
	struct conn *conn = container_of(message, struct conn, moved);
	struct reactor *reactor = conn->reactor;

	list_add_tail(&conn->link, &reactor->connections);
	if (conn->input.large)
		buffer_attach(conn->input.large, &reactor->block.buffers);
	if (conn->tls)
		tls_attach(conn->tls, &reactor->block.buffers);
	conn_enter(conn);
	if (reactor->stopping)
		conn_drain(conn);
	conn->session.notify(&conn->session);
	conn_want_parse(conn);
}

void conn_move(struct conn *conn)
{
	struct reactor *target = conn->moving_to;

	/* What a client sent ahead of its GO's answer comes along. */
	if (conn->input.large)
		buffer_detach(conn->input.large);
	if (conn->tls)
		tls_detach(conn->tls);
	buffer_put(conn->vector);
	conn->vector = NULL;
	list_del_init(&conn->link);
	list_del_init(&conn->input_link);
	list_del_init(&conn->output_link);
	list_del_init(&conn->receive_link);
	atomic_fetch_sub(&conn->reactor->load, 1);
	atomic_fetch_add(&target->load, 1);
	conn->reactor = target;
	conn->session.block = &target->block;
	conn->moving_to = NULL;
	conn->moved.run = arrive;
	engine_post(target->engine, &conn->moved);
}
