/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS on a connection: its handshake, on a thread of a pool, and what goes through it. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/ktls.h"
#include "common/log.h"
#include "server/net/conn.h"
#include "server/reactor.h"

static struct pool *handshakes;

void conn_set_pool(struct pool *pool)
{
	handshakes = pool;
}

static void receive_sealed(struct conn *conn, void *room, size_t size)
{
	engine_recv(conn->reactor->engine, &conn->recv_op, conn->fd, room, size);
	conn_op_started(conn, CONN_RECV);
}

/* The client's next part of the handshake. */
static void wait_for_client(struct conn *conn)
{
	size_t size;
	void *room = tls_room(conn->tls, &size);

	if (room)
		receive_sealed(conn, room, size);
	else
		conn_kill(conn, "no memory");
}

/* TLS has failed.  What there is to be sent ends with an alert, which is worth one try: true, it was sent. */
static bool alert(struct conn *conn)
{
	void *bytes;
	size_t length = tls_output(conn->tls, &bytes);

	if (!length || conn->in_flight & CONN_SEND)
		return false;
	engine_count_call(conn->reactor->engine);
	return send(conn->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

/* The handshake has failed.  The client may have sent more, and closing with that unread would take the alert from it. */
static void handshake_failed(struct conn *conn)
{
	if (!alert(conn)) {
		conn_kill(conn, tls_reason(conn->tls));
		return;
	}
	conn_log_ratelimited(conn, INFO, "connection closed: %s", tls_reason(conn->tls));
	conn_forget_sealed(conn);
	conn->securing = false;
	conn->tls_closed = true;
	conn->brief = true;
	conn->finishing = true;
	conn_want_parse(conn);
}

static void go_on(struct conn *conn);

static void handshake_back(struct engine_message *message)
{
	struct conn *conn = container_of(message, struct conn, job.message);

	conn->shaking = false;
	conn_want_parse(conn);
	if (conn->dead)
		return;
	/* What was reserved for output and isn't needed. */
	tls_sent(conn->tls, 0);
	if (conn->handshake == TLS_FAILED) {
		handshake_failed(conn);
		return;
	}
	/* One at a time: the next step, on its thread, may use the buffer that a send would give back. */
	if (conn_has_sealed(conn)) {
		conn->session.notify(&conn->session);
		return;
	}
	go_on(conn);
}

static void go_on(struct conn *conn)
{
	if (conn->handshake == TLS_WANTS_INPUT) {
		wait_for_client(conn);
		return;
	}
	conn->securing = false;
	conn_log_ratelimited(conn, INFO, "%s, %s%s%s", tls_version(conn->tls), tls_cipher(conn->tls),
			     *tls_identity(conn->tls) ? ", " : "", tls_identity(conn->tls));
	nbd_secured(&conn->session);
	conn_want_parse(conn);
}

void conn_secure_sent(struct conn *conn)
{
	if (!conn_has_sealed(conn))
		go_on(conn);
}

static void handshake_run(struct pool_job *job)
{
	struct conn *conn = container_of(job, struct conn, job);
	/* The kernel may have to load its module. */
	int result = tls_prepare_kernel(conn->tls, conn->fd);

	if (result < 0)
		conn_log(conn, DEBUG, "no kernel TLS: %s", strerror(-result));
	conn->handshake = tls_handshake(conn->tls);
}

bool conn_secure(struct conn *conn)
{
	if (conn->session.out.length || conn->in_flight & CONN_SEND)
		return false;
	if (input_length(&conn->input)) {
		conn_kill(conn, "it sent more in plain text behind NBD_OPT_STARTTLS");
		return false;
	}
	conn_release_export(conn);
	conn->tls = tls_new(&conn->reactor->block.buffers);
	if (!conn->tls) {
		conn_kill(conn, "no memory for TLS");
		return false;
	}
	conn->securing = true;
	wait_for_client(conn);
	return false;
}

void conn_secure_received(struct conn *conn, int result)
{
	if (result <= 0) {
		conn_kill(conn, "it went away during the TLS handshake");
		return;
	}
	tls_received(conn->tls, (size_t)result);
	if (!tls_reserve(conn->tls)) {
		conn_kill(conn, "no memory for TLS");
		return;
	}
	conn->shaking = true;
	conn->job = (struct pool_job){ .run = handshake_run, .engine = conn->reactor->engine, .message = { .run = handshake_back } };
	pool_run(handshakes, &conn->job);
}

bool conn_unseal(struct conn *conn)
{
	int64_t bytes = tls_read(conn->tls, conn->input.segments, conn->input.targets);

	/* A key update wants an answer. */
	if (conn->session.muted)
		conn_forget_sealed(conn);
	else if (conn_has_sealed(conn))
		conn->session.notify(&conn->session);
	if (bytes == 0)
		return false;
	conn_want_parse(conn);
	conn->last_progress = conn->reactor->ticks;
	if (bytes > 0) {
		input_received(&conn->input, (size_t)bytes);
	} else if (bytes == -1) {
		conn->ended = true;
	} else {
		alert(conn);
		conn_kill(conn, tls_reason(conn->tls));
	}
	return true;
}

bool conn_is_sealed(const struct conn *conn)
{
	return conn->tls && !tls_in_kernel(conn->tls);
}

static void start_kernel(struct conn *conn)
{
	int result = tls_start_kernel(conn->tls, conn->fd);

	engine_count_call(conn->reactor->engine);
	engine_count_call(conn->reactor->engine);
	if (result == -ENOTRECOVERABLE)
		conn_kill(conn, "kernel TLS sends, but cannot receive");
	else if (result < 0)
		conn_log(conn, DEBUG, "no kernel TLS: %s", strerror(-result));
	else
		conn_log_ratelimited(conn, INFO, "the kernel does TLS from here on");
}

/* All that was received is read, up to the end of a record.  Once all is sent, too, the kernel goes on, or else we do. */
static void hand_over(struct conn *conn)
{
	int result = 0;

	/* Sent it will be, and then we are here again. */
	if (conn->in_flight & CONN_SEND || conn_has_sealed(conn))
		return;
	if (tls_wants_kernel(conn->tls))
		start_kernel(conn);
	if (!conn->dead && !tls_in_kernel(conn->tls))
		result = tls_start_channel(conn->tls);
	if (result < 0)
		conn_log(conn, DEBUG, "TLS stays with OpenSSL: %s", strerror(-result));
	conn_want_parse(conn);
}

int conn_receive_sealed(struct conn *conn)
{
	size_t size, missing = 0;
	void *room;

	if (conn_unseal(conn))
		return 0;
	/* It is for the data: nothing changes any more. */
	if (tls_wants_handover(conn->tls) && conn->session.state == NBD_STATE_TRANSMISSION && !conn->session.muted) {
		missing = tls_before_handover(conn->tls);
		if (missing == 0) {
			hand_over(conn);
			return 0;
		}
	}
	room = tls_room(conn->tls, &size);
	if (!room)
		return -ENOMEM;
	receive_sealed(conn, room, missing && missing < size ? missing : size);
	return 0;
}

bool conn_has_sealed(const struct conn *conn)
{
	void *bytes;

	return conn->tls && tls_output(conn->tls, &bytes);
}

bool conn_seal(struct conn *conn, const struct iovec *iov, unsigned count)
{
	int64_t bytes = 0;

	/* What was left, by a send that took a part only, or is the handshake's, goes first. */
	if (!conn_has_sealed(conn) && !conn->securing && count)
		bytes = tls_write(conn->tls, iov, count);
	if (bytes < 0) {
		conn_kill(conn, bytes == -ENOMEM ? "no memory for a reply" : tls_reason(conn->tls));
		return false;
	}
	conn->plain += (size_t)bytes;
	conn->sealed.iov_len = tls_output(conn->tls, &conn->sealed.iov_base);
	return conn->sealed.iov_len > 0;
}

size_t conn_sealed_sent(struct conn *conn, size_t bytes)
{
	size_t plain = conn->plain;

	tls_sent(conn->tls, bytes);
	if (conn_has_sealed(conn))
		return 0;
	conn->plain = 0;
	return plain;
}

void conn_forget_sealed(struct conn *conn)
{
	void *bytes;

	conn->plain = 0;
	if (conn->tls)
		tls_sent(conn->tls, tls_output(conn->tls, &bytes));
}

void conn_kernel_ended(struct conn *conn, int error)
{
	const char *reason = error == -EBADMSG ? "a record that cannot be opened" : NULL;

	if (error == -EIO) {
		reason = ktls_next(conn->fd);
		engine_count_call(conn->reactor->engine);
	}
	if (reason)
		conn_log_ratelimited(conn, INFO, "TLS ends: %s", reason);
}
