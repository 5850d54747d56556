/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/shadow.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

void shadow_init(struct shadow *shadow, uint32_t size, uint32_t most)
{
	*shadow = (struct shadow){ .most = most, .bytes = fuzz_alloc(most * sizeof(*shadow->bytes)) };
	shadow->parts = fuzz_alloc((most / SHADOW_PART + 1) * sizeof(*shadow->parts));
	shadow_grow(shadow, size);
}

void shadow_grow(struct shadow *shadow, uint32_t size)
{
	fuzz_check(size <= shadow->most, "the target's own shadow is too small");
	while (shadow->size < size)
		shadow->bytes[shadow->size++].known = true;
}

void shadow_destroy(struct shadow *shadow)
{
	free(shadow->bytes);
	free(shadow->parts);
}

uint32_t shadow_arrive(struct shadow *shadow)
{
	return ++shadow->time;
}

void shadow_begin(struct shadow *shadow, uint64_t offset, uint64_t length)
{
	for (uint64_t at = offset; at < offset + length; at += SHADOW_PART - at % SHADOW_PART)
		shadow->parts[at / SHADOW_PART].busy++;
	for (uint64_t at = offset; at < offset + length; at++)
		shadow->bytes[at].busy++;
}

void shadow_end(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t arrived, bool known, const uint8_t *content)
{
	shadow->time++;
	for (uint64_t at = offset; at < offset + length; at += SHADOW_PART - at % SHADOW_PART) {
		shadow->parts[at / SHADOW_PART].busy--;
		shadow->parts[at / SHADOW_PART].ended = shadow->time;
	}
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

uint32_t shadow_changed(const struct shadow *shadow, uint64_t at)
{
	const struct shadow_part *part = &shadow->parts[at / SHADOW_PART];

	return part->busy ? UINT32_MAX : part->ended;
}
