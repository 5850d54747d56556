/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of the handshake ("Newstyle negotiation"), as functions on
 * bytes: what a server sent goes in, what it is to be sent comes out.  Asks
 * for nothing that the kernel's driver doesn't know: simple replies it stays.
 */
#ifndef CLIENT_HANDSHAKE_H
#define CLIENT_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/platter/problem.h"
#include "common/wire.h"

enum handshake_goal {
	HANDSHAKE_GO,   /* into transmission */
	HANDSHAKE_INFO, /* to know the export, and leave */
	HANDSHAKE_LIST, /* to know them all, and leave */
};

enum handshake_state {
	HANDSHAKE_MORE, /* send the output, and feed what comes */
	HANDSHAKE_TLS,  /* send the output, then TLS begins; handshake_secured() goes on */
	HANDSHAKE_DONE, /* send the output, if there is any */
	HANDSHAKE_FAILED,
};

/* What the server says of an export. */
struct handshake_export {
	uint64_t size;       /* bytes */
	uint16_t flags;      /* NBD_FLAG_... */
	uint32_t minimum, preferred, maximum; /* block sizes, bytes; 0: it didn't say */
	char *name;          /* its name for it; NULL: it didn't say */
	char *description;   /* NULL: none */
};

#define HANDSHAKE_UUID 36 /* characters of an identity */
/* Longer replies to an option are no server's that means well. */
#define HANDSHAKE_MOST_REPLY (64u << 10)
/* Room for each option that may be due, all with the longest name, if nothing was sent meanwhile. */
#define HANDSHAKE_MOST_OUT (9u << 10)
#define HANDSHAKE_MOST_LISTED 10000
/* Pieces of information of an export: the protocol has four kinds. */
#define HANDSHAKE_MOST_INFO 100

struct handshake {
	enum handshake_goal goal;
	const char *wanted;      /* the export's name, the caller's */
	bool tls;                /* STARTTLS comes first */
	bool secured;
	enum handshake_state state;
	enum { GREETING, STARTTLS, LIST, GO, EXPORT_NAME } phase;
	bool no_zeroes, has_export;
	struct handshake_export export;
	struct handshake_export *listed; /* names and descriptions */
	unsigned listed_count;
	unsigned informed;       /* pieces of information that came */
	uint8_t out[HANDSHAKE_MOST_OUT];
	size_t out_length;       /* the caller sets it to 0 after sending */
	struct problem problem;  /* when it has failed */
};

void handshake_init(struct handshake *handshake, enum handshake_goal goal, const char *wanted, bool tls);
/* Half-built ones, too. */
void handshake_free(struct handshake *handshake);

/* Takes what is whole of BYTES: how many they were.  The rest is to come again, with more behind it. */
size_t handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t length);

/* How many bytes the next feed is to have at least. */
size_t handshake_wants(const struct handshake *handshake, const uint8_t *bytes, size_t length);

/* TLS is there: the options start anew. */
void handshake_secured(struct handshake *handshake);

/* Frees what EXPORT has. */
void handshake_export_free(struct handshake_export *export);

/*
 * The identity in a description, "... uuid=XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX" in its last word, as platterd(8) has it: RET
 * has HANDSHAKE_UUID + 1 bytes; false, and empty: there is none.
 */
bool handshake_identity(const char *description, char *ret);

#endif
