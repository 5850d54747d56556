/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/conn.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/request.h"
#include "server/net/move.h"
#include "server/reactor.h"

/* Seconds until a client must have finished its handshake, not counting the time that a driver takes to open. */
#define HANDSHAKE_SECONDS 10
/* How long a client is waited for that was told goodbye. */
#define LINGER_SECONDS 5
/* Likewise of one whose handshake the end of the server has cut short. */
#define BRIEF_LINGER_SECONDS 1
/* Requests of a connection, or headers and payloads, in a turn that it shares: others wait for so many, not for hundreds. */
#define TURN_STEPS 64

static struct conn_limits limits = { .connections = 4096, .drain_seconds = 10 };
static atomic_uint total;

void conn_set_limits(const struct conn_limits *chosen)
{
	limits = *chosen;
}

unsigned conn_count(void)
{
	return atomic_load(&total);
}

/* Deadlines count whole ticks: one more, since the first may come at once. */
static void set_deadline(struct conn *conn, unsigned seconds)
{
	conn->deadline = conn->reactor->ticks + seconds + 1;
	reactor_need_tick(conn->reactor);
}

void conn_want_parse(struct conn *conn)
{
	if (list_empty(&conn->input_link))
		list_add_tail(&conn->input_link, &conn->reactor->input);
}

static void want_send(struct nbd_session *session)
{
	struct conn *conn = container_of(session, struct conn, session);

	if (conn->dead || session->muted) /* nothing will be sent, but its last request may have come back */
		conn_want_parse(conn);
	else if (list_empty(&conn->output_link))
		list_add_tail(&conn->output_link, &conn->reactor->output);
}

static void memory_ready(struct budget_waiter *waiter)
{
	conn_want_parse(container_of(waiter, struct conn, session.memory));
}

static void conn_free(struct conn *conn)
{
	list_del_init(&conn->link);
	list_del_init(&conn->input_link);
	list_del_init(&conn->output_link);
	list_del_init(&conn->receive_link);
	atomic_fetch_sub(&conn->reactor->load, 1);
	software_queue_leave(&conn->session.software);
	if (conn->session.export)
		disk_release(conn->session.export->disk);
	nbd_destroy(&conn->session);
	input_release(&conn->input);
	tls_free(conn->tls);
	buffer_put(conn->vector);
	close(conn->fd);
	free(conn);
	if (atomic_fetch_sub(&total, 1) == 1) {
		/* What hundreds of connections took the C library would keep where something small lies above it. */
		malloc_trim(0);
		reactors_nudge();
	}
}

const char *conn_export(const struct conn *conn)
{
	return conn->session.export ? conn->session.export->name : NULL;
}

void conn_kill(struct conn *conn, const char *reason)
{
	if (!conn->dead && reason)
		conn_log_ratelimited(conn, INFO, "connection closed: %s", reason);
	conn->dead = true;
	/* Whatever is in flight comes back at once. */
	shutdown(conn->fd, SHUT_RDWR);
	if (conn->in_flight & CONN_HUP)
		engine_cancel(conn->reactor->engine, &conn->hup_op);
	conn_want_parse(conn);
}

/* Everything is answered and sent: says goodbye, and waits for the client's own, so that no reply is lost to a reset. */
static void linger(struct conn *conn)
{
	if (conn->tls && !conn->tls_closed && !conn->session.muted) {
		conn->tls_closed = true;
		tls_close(conn->tls, conn->fd);
		want_send(&conn->session);
		if (conn_has_sealed(conn))
			return;
	}
	if (!conn->lingering) {
		conn->lingering = true;
		shutdown(conn->fd, SHUT_WR);
		set_deadline(conn, conn->brief ? BRIEF_LINGER_SECONDS : LINGER_SECONDS);
	}
	if (!(conn->in_flight & CONN_RECV)) {
		input_release(&conn->input);
		conn->input.last = conn->input.lately = 0;
		if (input_receive(conn, 1, NULL) < 0)
			conn_kill(conn, "no memory");
	}
}

static bool all_sent(const struct conn *conn)
{
	return conn->session.in_flight == 0 && conn->session.out.length == 0 && !(conn->in_flight & CONN_SEND) &&
	       !conn_has_sealed(conn);
}

void conn_check(struct conn *conn)
{
	if (conn->dead) {
		/* What the kernel may still read or write stays until it has come back. */
		if (!(conn->in_flight & CONN_RECV))
			nbd_abandon(&conn->session);
		if (!(conn->in_flight & CONN_SEND))
			nbd_mute(&conn->session);
		if (!conn->in_flight && conn->session.in_flight == 0 && !conn->opening && !conn->shaking)
			conn_free(conn);
	} else if (conn->moving_to) {
		if (!conn->in_flight)
			conn_move(conn);
	} else if (conn->finishing && !conn->lingering && all_sent(conn)) {
		linger(conn);
	}
}

void conn_op_started(struct conn *conn, enum conn_op op)
{
	conn->in_flight |= op;
	conn->last_progress = conn->reactor->ticks;
}

void conn_op_back(struct conn *conn, enum conn_op op)
{
	conn->in_flight &= ~(unsigned)op;
	conn->last_progress = conn->reactor->ticks;
}

static void recv_done(struct engine_op *op, int result)
{
	struct conn *conn = container_of(op, struct conn, recv_op);

	conn_op_back(conn, CONN_RECV);
	conn_want_parse(conn);
	if (conn->dead || result == -ECANCELED)
		return;
	if (conn->securing) {
		conn_secure_received(conn, result);
	} else if (conn->lingering) {
		if (result <= 0)
			conn_kill(conn, NULL);
	} else if (result <= 0) {
		/* A reset is an end like any other: what was read before it is seen to. */
		conn->ended = true;
		if (conn->tls && tls_in_kernel(conn->tls))
			conn_kernel_ended(conn, result);
	} else if (conn_is_sealed(conn)) {
		tls_received(conn->tls, (size_t)result);
		conn_unseal(conn);
	} else {
		input_received(&conn->input, (size_t)result);
	}
}

static void hup_done(struct engine_op *op, int result)
{
	struct conn *conn = container_of(op, struct conn, hup_op);

	(void)result;
	conn_op_back(conn, CONN_HUP);
	conn_want_parse(conn);
	if (!conn->dead && !conn->finishing)
		nbd_hang_up(&conn->session);
}

void conn_accept(struct reactor *reactor, int fd, const char *peer, enum nbd_tls tls)
{
	struct conn *conn;

	if (atomic_fetch_add(&total, 1) >= limits.connections) {
		log_ratelimited_about(&(struct log_subject){ .peer = peer }, WARNING,
				      "%s: refused: there are already %u connections (--max-connections)", peer, limits.connections);
		goto refuse;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn) {
		log_ratelimited_about(&(struct log_subject){ .peer = peer }, ERROR, "%s: refused: no memory", peer);
		goto refuse;
	}
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	conn->fd = fd;
	conn->since_ns = clock_ns();
	conn->recv_op.done = recv_done;
	conn->send_op.done = conn_send_done;
	conn->hup_op.done = hup_done;
	list_init(&conn->input_link);
	list_init(&conn->output_link);
	list_init(&conn->receive_link);
	conn->reactor = reactor;
	list_add_tail(&conn->link, &reactor->connections);
	atomic_fetch_add(&reactor->load, 1);
	nbd_init(&conn->session, &reactor->block, tls, want_send, memory_ready);
	conn->session.may_use = conn_may_use;
	set_deadline(conn, HANDSHAKE_SECONDS);
	want_send(&conn->session);
	conn_want_parse(conn);
	return;
refuse:
	atomic_fetch_sub(&total, 1);
	close(fd);
}

static void finish(struct conn *conn)
{
	conn->finishing = true;
	if (conn->in_flight & CONN_HUP)
		engine_cancel(conn->reactor->engine, &conn->hup_op);
}

/* The disk of a GO, INFO or EXPORT_NAME is open, or isn't. */
static void open_finished(struct conn *conn, int result, const char *reason)
{
	struct nbd_session *session = &conn->session;
	struct disk *disk = session->opening->disk;

	nbd_opened(session, result, reason);
	want_send(session);
	if (session->state != NBD_STATE_TRANSMISSION)
		return;
	conn_log_ratelimited(conn, INFO, "uses %s", session->export->name);
	conn->moving_to = disk_any_thread(disk) ? reactor_least_loaded() : reactor_at(disk_whole(disk)->home % reactor_count());
	if (conn->moving_to == conn->reactor) {
		conn->moving_to = NULL;
		conn_enter(conn);
	}
}

/* While a disk opens, and not for as long as the connection lives: reasons of failures take room. */
struct opening {
	struct disk_opener opener;
	struct conn *conn;
};

static void opener_done(struct disk_opener *opener)
{
	struct opening *opening = container_of(opener, struct opening, opener);
	struct conn *conn = opening->conn;
	struct disk *disk = conn->session.opening->disk;

	conn->opening = false;
	if (conn->draining)
		conn_drain_deadline(conn);
	else
		conn->deadline = conn->reactor->ticks + conn->patience;
	reactor_need_tick(conn->reactor);
	conn_want_parse(conn);
	if (!conn->dead)
		open_finished(conn, opener->result, opener->error.text[0] ? opener->error.text : strerror(-opener->result));
	else if (opener->result == 0)
		disk_release(disk);
	free(opening);
}

void conn_release_export(struct conn *conn)
{
	struct nbd_session *session = &conn->session;

	if (session->export)
		disk_release(session->export->disk);
	export_unuse(session->export);
	session->export = NULL;
}

static void start_open(struct conn *conn)
{
	struct nbd_session *session = &conn->session;
	struct disk *disk = session->opening->disk;
	struct opening *opening;

	/* INFO keeps its disk open for the GO that follows. */
	if (session->export && session->export->disk == disk) {
		open_finished(conn, 0, NULL);
		return;
	}
	conn_release_export(conn);
	opening = malloc(sizeof(*opening));
	if (!opening) {
		open_finished(conn, -ENOMEM, "no memory");
		return;
	}
	conn->opening = true;
	/* The client's clock stands still meanwhile. */
	conn->patience = conn->deadline - conn->reactor->ticks;
	conn->deadline = 0;
	*opening = (struct opening){ .opener = { .done = opener_done, .engine = conn->reactor->engine }, .conn = conn };
	disk_open(disk, &opening->opener);
}

/* Skips or fills in what the session wants next; false when there isn't enough input for it. */
static bool feed_payload(struct conn *conn)
{
	struct nbd_session *session = &conn->session;
	int error;

	if (input_payload(&conn->input, session->payload, session->export->disk->geometry.memory_alignment, &error)) {
		nbd_payload_done(session);
		return true;
	}
	if (error < 0)
		conn_kill(conn, "no memory for a write");
	return false;
}

static bool feed_skip(struct conn *conn)
{
	struct nbd_session *session = &conn->session;
	size_t bytes = input_length(&conn->input);

	if (bytes > session->skip)
		bytes = session->skip;
	input_used(&conn->input, bytes);
	session->skip -= bytes;
	if (session->skip)
		return false;
	nbd_skipped(session);
	want_send(session);
	return true;
}

static bool feed_bytes(struct conn *conn)
{
	struct nbd_session *session = &conn->session;
	size_t used = nbd_feed(session, input_bytes(&conn->input), input_length(&conn->input));

	input_used(&conn->input, used);
	if (session->out.length && !session->muted)
		want_send(session);
	/* Without progress it waits: for more bytes, room or memory. */
	return used > 0 || session->state == NBD_STATE_CLOSING;
}

/* One step of the session; false when it has to wait. */
static bool step(struct conn *conn)
{
	switch (conn->session.want) {
	case NBD_WANT_BYTES:
	case NBD_WANT_ROOM:
	case NBD_WANT_MEMORY:
		return feed_bytes(conn);
	case NBD_WANT_SKIP:
		return feed_skip(conn);
	case NBD_WANT_PAYLOAD:
		return feed_payload(conn);
	case NBD_WANT_OPEN:
		start_open(conn);
		return !conn->opening && !conn->moving_to;
	case NBD_WANT_TLS:
		return conn_secure(conn);
	case NBD_WANT_CLOSE:
		finish(conn);
		return false;
	case NBD_WANT_DROP:
		conn_kill(conn, conn->session.reason);
		return false;
	}
	return false;
}

/* How many bytes must be in one piece before the session can go on. */
static size_t needed(const struct nbd_session *session)
{
	switch (session->want) {
	case NBD_WANT_PAYLOAD:
		return session->payload->driver.length <= INPUT_IN_PLACE ? session->payload->driver.length : 1;
	case NBD_WANT_BYTES:
		return session->need;
	default:
		return 1;
	}
}

/* The session has used all its input and wants more. */
static bool wants_input(const struct conn *conn)
{
	enum nbd_want want = conn->session.want;

	return !conn->dead && !conn->finishing && !conn->opening && !conn->moving_to && !(conn->in_flight & CONN_RECV) &&
	       (want == NBD_WANT_BYTES || want == NBD_WANT_SKIP || want == NBD_WANT_PAYLOAD);
}

void conn_drain_deadline(struct conn *conn)
{
	set_deadline(conn, limits.drain_seconds);
}

void conn_drain(struct conn *conn)
{
	if (conn->dead || conn->draining)
		return;
	/* One that is moving is seen to where it arrives, if it ever does: the answer to its GO must be sent before. */
	if (conn->moving_to) {
		conn_drain_deadline(conn);
		return;
	}
	if (conn->securing) {
		conn_kill(conn, NULL);
		return;
	}
	conn->session.shutting_down = true;
	conn->draining = true;
	if (!conn->lingering)
		conn_drain_deadline(conn);
	if (conn->in_flight & CONN_RECV && !conn->lingering)
		engine_cancel(conn->reactor->engine, &conn->recv_op);
	conn_want_parse(conn);
}

/* Feeds the session what is there, or its share of this turn; true when there may be more for the next. */
static bool parse_share(struct conn *conn)
{
	bool alone = atomic_load_explicit(&conn->reactor->load, memory_order_relaxed) == 1;
	unsigned steps = 0;

	/* A receive in flight may be writing where the session would look. */
	if (conn->in_flight & CONN_RECV || conn->opening || conn->securing || conn->moving_to)
		return false;
	while (!conn->dead && !conn->finishing && step(conn))
		if (++steps == TURN_STEPS && !alone)
			return !conn->dead && !conn->finishing;
	return false;
}

void conn_parse(struct conn *conn)
{
	if (parse_share(conn)) {
		conn_want_parse(conn);
		return;
	}
	if (conn->ended && wants_input(conn)) {
		nbd_end_of_input(&conn->session);
		finish(conn);
	}
	if (conn->draining && wants_input(conn)) {
		conn->brief = conn->session.state != NBD_STATE_TRANSMISSION;
		nbd_stop(&conn->session);
		finish(conn);
		/* It has heard all that it asked for, and waits for nothing. */
		if (conn->brief && all_sent(conn) && !conn->tls)
			conn_kill(conn, NULL);
	}
	/* Not yet: once this turn's requests are done and answered, the buffer is mostly empty again. */
	if (wants_input(conn) && list_empty(&conn->receive_link))
		list_add_tail(&conn->receive_link, &conn->reactor->receive);
	if (conn->lingering && !conn->dead && !(conn->in_flight & CONN_RECV))
		linger(conn);
	conn_check(conn);
}

void conn_receive(struct conn *conn)
{
	if (wants_input(conn) && input_receive(conn, needed(&conn->session), conn->session.payload) < 0)
		conn_kill(conn, "no memory");
}
