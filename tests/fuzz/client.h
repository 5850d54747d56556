/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients without sockets, on one disk: each asks, has what it sent given to
 * its session when the input says so, and holds every answer against what it
 * asked for and what all of them may know of the disk's content.
 */
#ifndef FUZZ_CLIENT_H
#define FUZZ_CLIENT_H

#include "common/list.h"
#include "server/nbd/session.h"
#include "tests/fuzz/answer.h"
#include "tests/fuzz/backing.h"
#include "tests/fuzz/dirt.h"
#include "tests/fuzz/shadow.h"

#define CLIENTS 3

/* The errors of which a request that is to be refused gets one, as bits. */
enum { FAULT_EINVAL = 1 << 0, FAULT_EPERM = 1 << 1, FAULT_ENOSPC = 1 << 2 };

/* What a client asks for. */
struct wanted {
	uint16_t flags, type;
	uint64_t offset, length;
	unsigned contexts;      /* of a BLOCK_STATUS with a payload: 0: the first one; 3: the second; 1 and 2: what is wrong with it */
	bool no_magic;
};

/* A request on its way, from the moment in which a client has sent it. */
struct ask {
	struct list_head link;  /* in its client's sent or taken */
	struct answer answer;   /* with what was asked */
	unsigned number;        /* what it writes follows from it */
	bool no_magic;
	uint64_t claimed;       /* the length in its header */
	uint64_t payload;       /* bytes that follow it */
	unsigned contexts;      /* as in struct wanted */
	unsigned faults;        /* 0: it is to be done */
	bool drops;             /* it breaks the protocol: the connection ends */
	bool whole;             /* with its payload: it may be answered */
	bool excused;           /* the driver failed something of it */
	uint64_t capacity;      /* of the disk when it was sent */
	uint32_t sent, arrived; /* by the shadow's time; of a change: when its turn was settled */
};

/* A metadata context that was selected. */
enum selected_kind { SELECTED_ALLOCATION, SELECTED_PAGES, SELECTED_MARK };
struct selected {
	uint32_t id;
	enum selected_kind kind;
	struct dirt *mark; /* of that kind */
};

struct client {
	struct world *world;
	struct nbd_session session;
	bool open;
	bool leaving;           /* it doesn't wait for answers any more */
	bool finishing;         /* the connection gives no more input */
	enum answer_form form;  /* of replies, and with it of requests */
	struct selected contexts[ANSWER_MOST_STATUSES];
	unsigned context_count;
	uint16_t flags;         /* the transmission flags that it was told */
	struct list_head sent;  /* not yet given to the session, oldest first */
	struct list_head taken; /* the session has it, and has not answered */
	struct wanted last;     /* what it asked for last */
};

struct world {
	struct backing *backing;
	struct shadow shadow;
	struct dirts dirts;
	bool all_contexts;      /* clients select all that there are, and not just base:allocation */
	struct client clients[CLIENTS];
	unsigned asked;
	bool sync_failed;       /* what was acknowledged may be lost: FLUSH and FUA may fail from now on */
};

/* A new connection, up to transmission; CONTEXTS: it selects some, for which it needs more than simple replies. */
void client_open(struct client *client, struct world *world, enum answer_form form, bool contexts);

void client_ask(struct client *client, const struct wanted *wanted);

/* Gives the session what was sent, STEPS headers and payloads of it; false: it had to wait, or there is no more. */
bool client_deliver(struct client *client, unsigned steps);

/* Reads up to COUNT replies. */
void client_receive(struct client *client, unsigned count);

/* The ends that connections come to; see session.h. */
enum client_end {
	CLIENT_HANGS_UP,    /* nothing new comes, but what it sent is still read */
	CLIENT_ENDS,        /* its last byte was read */
	CLIENT_IS_STOPPED,  /* the server ends */
	CLIENT_IS_KILLED,   /* the connection is dead... */
	CLIENT_LINGERS,     /* ...but for a send, during which replies may still come together */
	CLIENT_IS_DEAF,     /* replies can't be sent any more */
	CLIENT_ENDS_COUNT,
};
void client_end(struct client *client, enum client_end end);

/* Frees a connection that is at its end and has nothing in flight any more. */
void client_check(struct client *client);

/* For the driver: it fails something of REQUEST. */
void client_excuse(struct world *world, const struct platter_request *request);

#endif
