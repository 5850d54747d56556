/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/move.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "server/net/conn.h"
#include "server/reactor.h"

void conn_enter(struct conn *conn)
{
	engine_poll(conn->reactor->engine, &conn->hup_op, conn->fd, POLLRDHUP);
	conn->in_flight |= CONN_HUP;
}

/* On the new reactor. */
static void arrive(struct engine_message *message)
{
	struct conn *conn = container_of(message, struct conn, moved);
	struct reactor *reactor = conn->reactor;

	list_add_tail(&conn->link, &reactor->connections);
	conn_enter(conn);
	if (reactor->stopping)
		conn_drain(conn);
	conn->session.notify(&conn->session);
	conn_want_parse(conn);
}

void conn_move(struct conn *conn)
{
	struct reactor *target = conn->moving_to;
	struct input *input = &conn->input;
	size_t length = input_length(input);

	/* Buffers belong to their reactor: what a client sent ahead of its GO's answer comes along in the small one. */
	if (length > INPUT_SMALL_SIZE) {
		conn->moving_to = NULL;
		conn_kill(conn, "too much sent before the handshake was over");
		return;
	}
	memmove(input->small, input_bytes(input), length);
	input_release(input);
	input->end = length;
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
