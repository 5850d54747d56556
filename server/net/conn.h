/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: a socket, the NBD session on it, and the engine operations
 * between the two.  A connection lives on one reactor and moves at most once,
 * when its session enters transmission, to the reactor that serves its disk.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/log.h"
#include "server/block/open.h"
#include "server/engine/engine.h"
#include "server/engine/pool.h"
#include "server/nbd/session.h"
#include "server/net/input.h"
#include "server/net/tls.h"

struct reactor;

/* Engine operations that may be in flight. */
enum conn_op { CONN_RECV = 1, CONN_SEND = 2, CONN_HUP = 4 };

struct conn {
	struct list_head link;         /* in reactor->connections */
	struct list_head input_link;   /* in reactor->input, or not */
	struct list_head output_link;  /* in reactor->output, or not */
	struct list_head receive_link; /* in reactor->receive, or not */
	struct reactor *reactor;
	struct reactor *moving_to;     /* where it goes as soon as nothing is in flight; NULL */
	struct engine_message moved;
	int fd;
	unsigned in_flight;            /* enum conn_op bits */
	bool opening;                  /* waits for its disk to open */
	bool securing;                 /* its TLS handshake isn't over... */
	bool shaking;                  /* ...and a thread is at it */
	bool ended;                    /* the client's last byte is here */
	bool draining;                 /* reads no more: does what it has read whole, then finishes */
	bool finishing;                /* takes no more: answers what it has taken, then closes */
	bool lingering;                /* has said goodbye, waits for the client to do so, too */
	bool brief;                    /* ...and not for long */
	bool dead;                     /* ends as soon as nothing is in flight */
	uint64_t since_ns;             /* CLOCK_MONOTONIC: when it was accepted */
	uint64_t deadline;             /* reactor->ticks when it is cut off; 0: never */
	uint64_t patience;             /* ticks that are left of the handshake while a driver opens */
	uint64_t last_progress;        /* reactor->ticks when data last moved */
	uint64_t listed;               /* the last listing for administrators that it is in */

	struct nbd_session session;
	struct engine_op recv_op, send_op, hup_op;

	struct tls *tls;               /* NULL: plain text */
	bool tls_closed;               /* said goodbye there */
	size_t plain;                  /* bytes of output in what TLS made to be sent */
	struct iovec sealed;           /* that */
	enum tls_state handshake;
	struct pool_job job;           /* the handshake's */

	struct buffer *vector;         /* holds the iovecs of the send in flight */
	size_t sent;                   /* of the first unsent thing in the session's output */

	char peer[64];                 /* for the log */
	struct input input;            /* last: its small buffer is at the end */
};

struct conn_limits {
	unsigned connections;          /* at most, on all reactors */
	unsigned drain_seconds;        /* for clients that don't read their replies at shutdown */
};

void conn_set_limits(const struct conn_limits *limits);

/* A new client on FD, which the connection now owns; PEER is copied.  Refuses it, saying so, when there are too many. */
void conn_accept(struct reactor *reactor, int fd, const char *peer, enum nbd_tls tls);

/* For the reactor: the phases of a turn, and the housekeeping. */
void conn_parse(struct conn *conn);
void conn_send(struct conn *conn);
void conn_receive(struct conn *conn);
void conn_tick(struct reactor *reactor);

/* Shutdown: stops reading everywhere and closes each connection when it has answered what it took. */
void conn_stop_all(struct reactor *reactor);

/* The same for those that use an export of DISK, or of its partitions, or the one that is called EXPORT; either may be NULL. */
void conn_drain_users(struct reactor *reactor, const struct disk *disk, const char *export);

/* Stops reading from one, which then has conn_drain_deadline() to read its replies. */
void conn_drain(struct conn *conn);
void conn_drain_deadline(struct conn *conn);

/* For the parts of a connection: it has input to look at; it is over, for REASON, unless that is NULL. */
void conn_want_parse(struct conn *conn);
void conn_kill(struct conn *conn, const char *reason);
void conn_send_done(struct engine_op *op, int result);
/* An operation has been started; it has come back.  Both are progress: what came before was somebody else's. */
void conn_op_started(struct conn *conn, enum conn_op op);
void conn_op_back(struct conn *conn, enum conn_op op);
/* Something was sent, or finished: perhaps it was the last. */
void conn_check(struct conn *conn);

/*
 * secure.c.  The session wants TLS: begins, if all before is sent; false: it has to wait.  Something was received,
 * or sent, during the handshake.
 */
bool conn_secure(struct conn *conn);
void conn_secure_received(struct conn *conn, int result);
void conn_secure_sent(struct conn *conn);
/* TLS is done here, and not by the kernel. */
bool conn_is_sealed(const struct conn *conn);
/* Kernel TLS has ended a receive with ERROR: says why, if there is more to say than that it is the end. */
void conn_kernel_ended(struct conn *conn, int error);
/* Puts what TLS has for it into the targets of its input: false, there is nothing yet, or it is over. */
bool conn_unseal(struct conn *conn);
/* Starts receiving what TLS reads; -ENOMEM. */
int conn_receive_sealed(struct conn *conn);
/* Makes what is to be sent of IOV: false, there is nothing. */
bool conn_seal(struct conn *conn, const struct iovec *iov, unsigned count);
/* So much of it was sent: how much output that was. */
size_t conn_sealed_sent(struct conn *conn, size_t bytes);
bool conn_has_sealed(const struct conn *conn);
/* None of it will be sent. */
void conn_forget_sealed(struct conn *conn);
/* permit.c, for the session: whether its client may use EXPORT, whose rules it has to meet; refusals are logged if TELL. */
bool conn_may_use(struct nbd_session *session, const struct export *export, bool tell);

/*
 * Logs what has become of a client, behind its address, with the export that it uses as the message's subject; the
 * second one as log_ratelimited().
 */
#define conn_log(conn, level, format, ...)                                                                               \
	log_message_about(&(struct log_subject){ .export = conn_export(conn), .peer = (conn)->peer }, LOG_LEVEL_##level, \
			  "%s: " format, (conn)->peer, ##__VA_ARGS__)
#define conn_log_ratelimited(conn, level, format, ...)                                                              \
	log_ratelimited_about(&((struct log_subject){ .export = conn_export(conn), .peer = (conn)->peer }), level, \
			      "%s: " format, (conn)->peer, ##__VA_ARGS__)
/* The name of the export that it uses, or NULL. */
const char *conn_export(const struct conn *conn);

/* The pool for handshakes. */
void conn_set_pool(struct pool *pool);

/* Its disk, which INFO keeps open, is released. */
void conn_release_export(struct conn *conn);

/* All reactors' connections. */
unsigned conn_count(void);

#endif
