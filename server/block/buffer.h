/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers: page-aligned memory in a few sizes, kept in free lists so that data
 * flows without the allocator.  Every buffer belongs to the thread whose
 * struct buffers it came from.
 */
#ifndef BLOCK_BUFFER_H
#define BLOCK_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

enum buffer_class {
	BUFFER_SMALL,   /* 4 KiB: a small read's data */
	BUFFER_MEDIUM,  /* 32 KiB: a middling one's */
	BUFFER_SEGMENT, /* 256 KiB: a segment of a large request */
	BUFFER_INPUT,   /* 1 MiB: what a connection receives into while data flows */
	BUFFER_CLASSES,
};

#define BUFFER_SMALL_SIZE (4u << 10)
#define BUFFER_MEDIUM_SIZE (32u << 10)
#define BUFFER_SEGMENT_SIZE (256u << 10)
#define BUFFER_INPUT_SIZE (1u << 20)

struct buffer {
	uint8_t *memory;
	enum buffer_class class;
	unsigned users;       /* buffer_put() by the last one frees it */
	struct buffer *next;  /* in the free list, or in the list of its one user */
	struct buffers *home;
};

struct buffers {
	struct {
		struct buffer *free;
		unsigned count;  /* of free ones */
		unsigned unused; /* the least that were free since the last buffers_trim() */
	} class[BUFFER_CLASSES];
	uint64_t bytes;   /* of memory, in use and free */
};

uint32_t buffer_class_size(enum buffer_class class);

/* NULL when there is no memory.  The caller is the only user. */
struct buffer *buffer_get(struct buffers *buffers, enum buffer_class class);
void buffer_put(struct buffer *buffer);

/* Takes BUFFER, with its one user, out of its home; it belongs to nobody until buffer_attach() on another thread. */
void buffer_detach(struct buffer *buffer);
void buffer_attach(struct buffer *buffer, struct buffers *home);

/* Gives memory that lay unused since the last call back to the system. */
void buffers_trim(struct buffers *buffers);

/* None may be in use. */
void buffers_destroy(struct buffers *buffers);

#endif
