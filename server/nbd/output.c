/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/output.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

void output_append(struct output *output, const void *bytes, size_t length)
{
	if (length == 0) /* BYTES may be NULL */
		return;
	if (output->size - output->length < length) {
		size_t size = output->size ? output->size : 256;
		uint8_t *larger;

		while (size - output->length < length)
			size *= 2;
		larger = realloc(output->bytes, size);
		if (!larger) {
			output->failed = true;
			return;
		}
		output->bytes = larger;
		output->size = size;
	}
	memcpy(output->bytes + output->length, bytes, length);
	output->length += length;
}

void output_be16(struct output *output, uint16_t value)
{
	uint8_t bytes[sizeof(value)];

	put_be16(bytes, value);
	output_append(output, bytes, sizeof(bytes));
}

void output_be32(struct output *output, uint32_t value)
{
	uint8_t bytes[sizeof(value)];

	put_be32(bytes, value);
	output_append(output, bytes, sizeof(bytes));
}

void output_be64(struct output *output, uint64_t value)
{
	uint8_t bytes[sizeof(value)];

	put_be64(bytes, value);
	output_append(output, bytes, sizeof(bytes));
}

void output_free(struct output *output)
{
	free(output->bytes);
	*output = (struct output){ .bytes = NULL };
}
