/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One NBD session, without any I/O: whoever has the connection feeds the bytes
 * that came in to nbd_feed() and does what `want` says; replies collect in
 * `out` (handshake) and `replies` (transmission) until they are sent.
 * A session is used by one thread at a time.
 */
#ifndef NBD_SESSION_H
#define NBD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "common/wire.h"
#include "server/block/account.h"
#include "server/block/budget.h"
#include "server/block/software_queue.h"
#include "server/nbd/output.h"
#include "server/nbd/reply.h"

struct block;
struct contexts;
struct export;
struct request;

/* The most option data that is read: what is larger ends the session. */
#define NBD_MOST_OPTION_SKIP (1u << 20)
/* The most data of a known option: a name of the largest size and as many information requests as fit. */
#define NBD_MOST_OPTION_DATA (8u << 10)
/* Likewise of those about metadata contexts. */
#define NBD_MOST_CONTEXT_DATA (64u << 10)
/* Options in one handshake. */
#define NBD_MOST_OPTIONS 1024
/* Unsent bytes of handshake replies above which no further option is looked at. */
#define NBD_MOST_OUTPUT (64u << 10)
/* Bytes of requests' data that one connection may have in flight; one request is always allowed. */
#define NBD_MOST_IN_FLIGHT_BYTES (64u << 20)
/* The largest block size advertised, and the largest READ and WRITE that are done all the same. */
#define NBD_ADVERTISED_MOST (32u << 20)
#define NBD_MOST_PAYLOAD (64u << 20)

enum nbd_state { NBD_STATE_FLAGS, NBD_STATE_OPTIONS, NBD_STATE_TRANSMISSION, NBD_STATE_CLOSING };

/* Whether a session may, or must, use TLS (specification, "Server-side requirements"). */
enum nbd_tls {
	NBD_TLS_OFF,      /* NOTLS */
	NBD_TLS_ON,       /* SELECTIVETLS: whoever wants it, and for exports that need it */
	NBD_TLS_REQUIRED, /* FORCEDTLS */
};

/* What the session needs before it can go on. */
enum nbd_want {
	NBD_WANT_BYTES,   /* at least `need` bytes of input at once */
	NBD_WANT_SKIP,    /* the next `skip` bytes thrown away, then nbd_skipped() */
	NBD_WANT_PAYLOAD, /* the data of `payload`, then nbd_payload_done() */
	NBD_WANT_OPEN,    /* `opening`'s disk opened, then nbd_opened() */
	NBD_WANT_TLS,     /* what is in `out` sent, the disk of `export` released, a TLS handshake, then nbd_secured() */
	NBD_WANT_ROOM,    /* fewer requests in flight or less unsent output; ask again after something was sent */
	NBD_WANT_MEMORY,  /* a share of the memory budget; ask again after `memory` was called */
	NBD_WANT_CLOSE,   /* nothing more: answer what is in flight, then close */
	NBD_WANT_DROP,    /* nothing more: the client broke the protocol as `reason` says */
};

struct nbd_session {
	enum nbd_state state;
	enum nbd_want want;
	size_t need;
	uint64_t skip;
	struct export *opening;      /* the session uses it */
	const char *reason;

	struct block *block;         /* of the thread that has the session */
	struct export *export;       /* whose disk, too, the session is a user of; NULL */

	/* Handshake */
	enum nbd_tls tls;
	bool secure;                 /* TLS is in use */
	/* The connection's: whether the client meets the rules of an export that has some; a refusal is logged if TELL. */
	bool (*may_use)(struct nbd_session *session, const struct export *export, bool tell);
	bool shutting_down;          /* the server stops: options are refused */
	bool no_zeroes;
	unsigned options;            /* so far */
	uint32_t option;             /* the one being answered */
	unsigned infos;              /* bits: what INFO and GO asked for */
	bool by_default;             /* they gave no name */
	enum reply_form form;        /* of replies, and with it of requests */
	struct contexts *contexts;   /* the metadata contexts that were selected; NULL... */
	struct export *contexts_of;  /* ...and for what; the session uses it.  NULL: none were. */
	struct output out;

	/* Transmission */
	struct software_queue software; /* its requests that wait for their turn */
	struct account account;      /* its requests that came to the disk */
	uint16_t flags;              /* the transmission flags that the client was told */
	struct request *payload;     /* the WRITE whose data is coming in */
	unsigned in_flight;          /* requests taken and not yet released by nbd_sent() */
	uint64_t in_flight_bytes;
	struct list_head replies;    /* requests that are done, for the connection to send */
	void (*notify)(struct nbd_session *session); /* a request is done; it is in `replies`, unless nobody waits for it */
	struct budget_waiter memory;

	/* The client has hung up: what comes out of the pipe runs only if it ends in DISC. */
	bool hung_up;
	struct list_head held;
	bool dropping;               /* what ends now was never started: it gets no reply */
	bool muted;                  /* nobody reads replies any more: they are thrown away */
};

/* Starts a session; the greeting is in `out`.  NOTIFY and memory.ready are the connection's. */
void nbd_init(struct nbd_session *session, struct block *block, enum nbd_tls tls, void (*notify)(struct nbd_session *session),
	      void (*memory_ready)(struct budget_waiter *waiter));

/*
 * Looks at LENGTH bytes of input and returns how many it is done with; the rest
 * is to be given again, with more behind it.  Call it while `want` is BYTES,
 * ROOM or MEMORY.
 */
size_t nbd_feed(struct nbd_session *session, const uint8_t *bytes, size_t length);

void nbd_skipped(struct nbd_session *session);

/* From now on TLS carries the session, which begins anew but for the greeting; `export` was released. */
void nbd_secured(struct nbd_session *session);

void nbd_payload_done(struct nbd_session *session);

/* The disk of `opening` is open (RESULT 0, the session is its user), or isn't, for REASON. */
void nbd_opened(struct nbd_session *session, int result, const char *reason);

/* REQUEST, which was in `replies`, has been sent: frees it. */
void nbd_sent(struct nbd_session *session, struct request *request);

/* The client has closed its side: until its last byte is here, nothing new is started. */
void nbd_hang_up(struct nbd_session *session);

/*
 * The client's last byte was fed: what hasn't started is dropped, what is in
 * flight is answered, then `want` says to close.
 */
void nbd_end_of_input(struct nbd_session *session);

/* The server stops: a payload that isn't whole is forgotten, what was taken is answered, then `want` says to close. */
void nbd_stop(struct nbd_session *session);

/* The connection is over: what hasn't started is dropped, what is in flight ends unheard. */
void nbd_abandon(struct nbd_session *session);

/* Replies cannot be sent any more: throws them away, those that are to come as well.  None may be being sent. */
void nbd_mute(struct nbd_session *session);

/* Nothing is in flight any more.  Leaves it to the connection to release `export`'s disk, before. */
void nbd_destroy(struct nbd_session *session);

#endif
