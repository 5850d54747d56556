/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extents: what is told of a range, piece after piece, by a driver that was
 * asked where it holds data; collected for whoever asked.
 */
#ifndef BLOCK_EXTENTS_H
#define BLOCK_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

struct extent {
	uint64_t length; /* bytes, never 0 */
	uint64_t kind;   /* bits; of a driver's: PLATTER_EXTENT_* */
};

/* One thread at a time. */
struct extents {
	struct extent *list;  /* one behind the other, of whole blocks; neighbours are of different kinds */
	unsigned count, capacity;
	unsigned most;        /* that are wanted */
	uint32_t block;       /* a power of two */
	uint64_t ahead;       /* the last bytes of the range, which are only told of with what is before them */
	uint64_t left;        /* bytes of the range that nothing was told of yet; 0: or that nobody wants to know about */
	uint32_t partial;     /* bytes told of a block that isn't whole... */
	uint64_t partial_kind; /* ...and which bits they have in common */
	struct extents *next; /* of the same request; NULL */
};

/* None yet, of a range of LENGTH bytes, whole blocks of BLOCK bytes, at most MOST of which are wanted; NULL: no memory. */
struct extents *extents_new(uint64_t length, uint32_t block, unsigned most);

/* With those behind it.  NULL is allowed. */
void extents_free(struct extents *extents);

/*
 * The next LENGTH bytes are of KIND; what exceeds the range is cut off, and a block of several kinds has only what
 * they have in common.  True: no more is wanted, or there is no memory, in which case there may be none at all.
 */
bool extents_add(struct extents *extents, uint64_t length, uint64_t kind);

#endif
