/* SPDX-License-Identifier: BSD-2-Clause */
/* What the generator's files for connections, requests, replies and runs share. */
#ifndef BENCH_LOAD_CONNECTION_H
#define BENCH_LOAD_CONNECTION_H

#include "bench/load.h"
#include "bench/load_data.h"
#include "common/wire.h"

#define RECEIVE_SIZE (1u << 20)
/* The most that is looked at in one piece: what is behind the cookie in the header of a hole, with extended headers. */
#define CARRY_SIZE 28

struct slot {
	uint64_t cookie; /* 0: free */
	uint64_t offset;
	uint64_t sent_ns;
	uint32_t missing; /* bytes of a read that structured replies have still to tell of */
	bool flushing; /* its write is done, and its FLUSH to be sent or on its way */
};

struct connection {
	struct stream stream;
	uint64_t region;
	unsigned share, shares;

	/* Requests */
	uint64_t budget; /* how many may still be sent */
	uint64_t started; /* how many were, in this run */
	uint64_t random;
	uint64_t next_block;
	uint64_t next_cookie;
	struct slot *slots;
	unsigned *free_slots;
	unsigned free_count;
	unsigned *flushes; /* slots whose FLUSH is to be sent */
	unsigned flush_count;
	unsigned depth;
	uint8_t *out;
	uint8_t *flush_out;
	struct iovec *pending; /* what sendmsg has still to take */
	unsigned pending_first, pending_count;

	/* Replies: the parser alternates between some bytes that it looks at and some that it skips. */
	struct slot *reading; /* whose reply is being taken */
	uint16_t chunk;       /* the type of its chunk, of which... */
	size_t chunk_head;    /* ...so many bytes are looked at next; 0: it isn't one, or they were */
	bool last;            /* with this chunk the reply ends */
	uint64_t data_offset; /* where its payload belongs, from the next stamp on... */
	uint32_t unchecked;   /* ...of which so much is to come */
	size_t skip;
	uint8_t carry[CARRY_SIZE];
	size_t carried;
};

/* What a run needs besides its connections. */
struct run {
	const struct job *job;
	struct result *result;
	uint64_t start;
	uint64_t now;
	uint8_t *input; /* CARRY_SIZE bytes of room for what was carried, then RECEIVE_SIZE */
};

/* load_requests.c */
void connection_start(struct connection *connection, const struct job *job);
void connection_finish(struct connection *connection);

/* Fills the window, as far as the rate allows, and sends as much as the socket takes. */
void connection_send(struct connection *connection, const struct run *run);
/* Whether the socket has still to take something. */
bool connection_is_behind(const struct connection *connection);
/* When the rate allows the next request; UINT64_MAX: something else has to happen first. */
uint64_t connection_due(const struct connection *connection, const struct run *run);

/* load_replies.c */

/* Takes all replies that one recv with FLAGS returns. */
void connection_receive(struct connection *connection, struct run *run, int flags);

#endif
