/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection's input: what was received and not yet used.  An idle
 * connection receives into a small buffer of its own; while data flows it
 * borrows a large one from its reactor.
 */
#ifndef NET_INPUT_H
#define NET_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct buffer;
struct buffers;
struct conn;
struct request;

/* A write of 4 KiB fits, whatever its header. */
#define INPUT_SMALL_SIZE (4096 + 32)

/* A WRITE's payload of up to this size stays where it was received. */
#define INPUT_IN_PLACE (256u << 10)

/* Segments that one receive fills directly. */
#define INPUT_SEGMENTS 4

struct input {
	struct buffer *large;     /* NULL: the small one */
	size_t start, end;        /* unused bytes */
	size_t last;              /* what the last receive brought... */
	size_t lately;            /* ...and what they did lately: half of that, if it is more */
	size_t asked;             /* what it had room for */
	bool direct;              /* it went into the payload's own segments */
	uint64_t received;        /* of the payload in its own segments */
	struct iovec segments[INPUT_SEGMENTS]; /* where the next bytes go... */
	unsigned targets;         /* ...and how many there are */
	uint8_t small[INPUT_SMALL_SIZE];
};

uint8_t *input_bytes(struct input *input);
size_t input_length(const struct input *input);
void input_used(struct input *input, size_t bytes);

/*
 * Moves payload bytes to REQUEST, a WRITE: true when it has all of them.
 * ALIGNMENT: what its disk needs of addresses.  *error: -ENOMEM.
 */
bool input_payload(struct input *input, struct request *request, unsigned alignment, int *error);

/* Starts a receive: for at least NEED bytes in one piece, or into PAYLOAD's segments, if it has any.  -ENOMEM. */
int input_receive(struct conn *conn, size_t need, struct request *payload);

/* The receive brought BYTES. */
void input_received(struct input *input, size_t bytes);

/* Gives the large buffer back; what is in it is lost. */
void input_release(struct input *input);

#endif
