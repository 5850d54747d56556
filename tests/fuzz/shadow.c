/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/shadow.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

void shadow_init(struct shadow *shadow, uint32_t size)
{
	*shadow = (struct shadow){ .size = size, .bytes = fuzz_alloc(size * sizeof(*shadow->bytes)) };
	for (uint32_t i = 0; i < size; i++)
		shadow->bytes[i].known = true;
}

void shadow_destroy(struct shadow *shadow)
{
	free(shadow->bytes);
}

uint32_t shadow_arrive(struct shadow *shadow)
{
	return ++shadow->time;
}

void shadow_begin(struct shadow *shadow, uint64_t offset, uint64_t length)
{
	for (uint64_t at = offset; at < offset + length; at++)
		shadow->bytes[at].busy++;
}

void shadow_end(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t arrived, bool known, const uint8_t *content)
{
	shadow->time++;
	for (uint64_t i = 0; i < length; i++) {
		struct shadow_byte *byte = &shadow->bytes[offset + i];

		byte->busy--;
		byte->ended = shadow->time;
		if (byte->arrived > arrived)
			continue;
		byte->arrived = arrived;
		byte->known = known;
		byte->value = content ? content[i] : 0;
	}
}

int shadow_expected(const struct shadow *shadow, uint64_t at, uint32_t arrived)
{
	const struct shadow_byte *byte = &shadow->bytes[at];

	return byte->known && !byte->busy && byte->ended < arrived ? byte->value : -1;
}
