/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A handshake as the specification has it: reads what a client sent and says,
 * option by option, what the server's answers must be.  It has the whole
 * conversation before it, which makes it simpler than a server.
 */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/nbd/session.h"

/* What is exported, in this order. */
struct oracle_export {
	const char *name, *description;
	const char *uuid; /* NULL: its disk has none */
	bool read_only;
	bool tls;        /* for clients with TLS only */
	bool restricted; /* has rules */
	bool broken;     /* it can't be opened */
};
extern const struct oracle_export oracle_exports[];
extern const unsigned oracle_export_count;

/* What the server is like, and the client to its rules. */
struct oracle_setup {
	enum nbd_tls tls;
	bool member;           /* may use what is restricted */
	bool shutting_down;
	uint64_t bytes;        /* of every export */
	uint16_t flags;        /* transmission flags of one that can be written, without structured replies */
	uint16_t writing;      /* of which these aren't there on a read-only one */
	uint32_t min_block, preferred_block;
};

enum oracle_end {
	ORACLE_WAITS,    /* for more bytes */
	ORACLE_DROPPED,  /* the client broke the protocol */
	ORACLE_ABORTED,
	ORACLE_TRANSMITS,
};

/* How it came out. */
struct oracle_state {
	enum oracle_end end;
	bool secure, context;
	enum reply_form form;
	int export;            /* transmission: index */
};

/* Reads the client's SIZE bytes at DATA and checks the ANSWERED ones at ANSWERS: all that the server sent. */
void oracle_check(const struct oracle_setup *setup, const uint8_t *data, size_t size, const uint8_t *answers, size_t answered,
		  struct oracle_state *state);

#endif
