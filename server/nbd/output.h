/* SPDX-License-Identifier: BSD-2-Clause */
/* The handshake's replies, as bytes that wait to be sent. */
#ifndef NBD_OUTPUT_H
#define NBD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
	uint8_t *bytes;
	size_t length, size;
	bool failed; /* memory ran out: the rest is missing, the connection cannot go on */
};

void output_append(struct output *output, const void *bytes, size_t length);
void output_be16(struct output *output, uint16_t value);
void output_be32(struct output *output, uint32_t value);
void output_be64(struct output *output, uint64_t value);

/* Empties it and frees its memory. */
void output_free(struct output *output);

#endif
