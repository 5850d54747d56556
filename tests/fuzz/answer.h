/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The answer to a request as a client reads it: simple replies and chunks,
 * held to the letter of the specification ("Simple reply message",
 * "Structured reply message", extended headers, and each command).  It knows nothing of how the
 * server makes them.
 */
#ifndef FUZZ_ANSWER_H
#define FUZZ_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer_kind { ANSWER_MISSING, ANSWER_DATA, ANSWER_HOLE };

/* What was negotiated. */
enum answer_form { ANSWER_SIMPLE, ANSWER_STRUCTURED, ANSWER_EXTENDED };

struct answer_extent {
	uint64_t length, flags;
};

/* Most contexts that a client selects. */
#define ANSWER_MOST_STATUSES 8

/* What a metadata context has to say of the range. */
struct answer_status {
	uint32_t context;    /* its id, and... */
	uint64_t bits;       /* ...the flags that it may have: the caller's to set */
	struct answer_extent *extents; /* in host order; NULL: nothing came yet */
	unsigned count;
};

struct answer {
	/* The request, as the client sent it: the caller's to set. */
	uint64_t cookie, offset, length;
	uint16_t type, flags;
	enum answer_form form;
	struct answer_status statuses[ANSWER_MOST_STATUSES]; /* of a BLOCK_STATUS: of what it asks for... */
	unsigned status_count; /* ...so many */

	/* What came; zero at first. */
	bool done;           /* all of it: nothing more may come */
	uint32_t error;      /* NBD_SUCCESS, or of which kind */
	uint64_t error_at;   /* where it was, if that was told; else 0 */
	unsigned contents;   /* chunks with data or holes */
	uint8_t *data;       /* of a READ, LENGTH bytes, those of holes zero */
	uint8_t *kinds;      /* of each of them: enum answer_kind */
};

/* Whose the reply or chunk is that begins LEFT bytes of output. */
uint64_t answer_cookie(const uint8_t *bytes, size_t left);

/* Takes that as the next part of ANSWER; how long it is. */
size_t answer_take(struct answer *answer, const uint8_t *bytes, size_t left);

/* Frees what came. */
void answer_free(struct answer *answer);

#endif
