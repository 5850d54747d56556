/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/ram/stream.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__

#include <emmintrin.h>

#define LINE 64

/* Whole lines, TO at the beginning of one: then the processor needn't read it. */
static void copy_lines(uint8_t *to, const uint8_t *from, size_t lines)
{
	for (; lines; lines--, to += LINE, from += LINE) {
		__m128i a = _mm_loadu_si128((const __m128i *)from);
		__m128i b = _mm_loadu_si128((const __m128i *)(from + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(from + 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(from + 48));

		_mm_stream_si128((__m128i *)to, a);
		_mm_stream_si128((__m128i *)(to + 16), b);
		_mm_stream_si128((__m128i *)(to + 32), c);
		_mm_stream_si128((__m128i *)(to + 48), d);
	}
	/* Streaming stores are in no order with those that follow. */
	_mm_sfence();
}

void stream_copy(void *to, const void *from, size_t bytes)
{
	uint8_t *target = to;
	const uint8_t *source = from;
	size_t head = -(uintptr_t)target % LINE;
	size_t body;

	if (head > bytes)
		head = bytes;
	body = (bytes - head) / LINE * LINE;
	memcpy(target, source, head);
	copy_lines(target + head, source + head, body / LINE);
	memcpy(target + head + body, source + head + body, bytes - head - body);
}

#else

void stream_copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

#endif
