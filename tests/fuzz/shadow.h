/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients may rely on of a disk's content, byte by byte: the last change
 * that was acknowledged, in the order in which changes arrived.  Of bytes that
 * a change in flight covers, or one that failed, nothing is known.
 */
#ifndef FUZZ_SHADOW_H
#define FUZZ_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

struct shadow_byte {
	uint8_t value;
	bool known;
	uint16_t busy;    /* changes in flight */
	uint32_t ended;   /* when the last of them ended... */
	uint32_t arrived; /* ...and when that had arrived which came last of those that ended */
};

/* Of so many bytes it is known when the last change was, too. */
#define SHADOW_PART (64u << 10)

struct shadow_part {
	uint32_t busy, ended; /* as a byte's */
};

struct shadow {
	uint32_t time; /* counts what happened */
	uint32_t size, most;
	struct shadow_byte *bytes;
	struct shadow_part *parts;
};

/* SIZE bytes of zeroes, at MOST so many in the end. */
void shadow_init(struct shadow *shadow, uint32_t size, uint32_t most);
void shadow_destroy(struct shadow *shadow);

/* The disk has SIZE bytes now; the new ones are zeroes. */
void shadow_grow(struct shadow *shadow, uint32_t size);

/* Something arrives: when that was. */
uint32_t shadow_arrive(struct shadow *shadow);

/* It is a change of LENGTH bytes at OFFSET, which lie on the disk. */
void shadow_begin(struct shadow *shadow, uint64_t offset, uint64_t length);

/* The change that ARRIVED then has ended: the bytes are CONTENT's, zeroes for NULL, or, if it isn't KNOWN, nobody knows. */
void shadow_end(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t arrived, bool known, const uint8_t *content);

/* What a READ that ARRIVED then, and ends now, must have found at AT: a byte, or -1 for any. */
int shadow_expected(const struct shadow *shadow, uint64_t at, uint32_t arrived);

/* When the last change ended of the part in which AT is; UINT32_MAX: one is in flight. */
uint32_t shadow_changed(const struct shadow *shadow, uint64_t at);

#endif
