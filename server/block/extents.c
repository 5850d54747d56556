/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/extents.h"

#include <stdlib.h>

#include "common/checked.h"

#define FIRST_CAPACITY 16

struct extents *extents_new(uint64_t length, uint32_t block, unsigned most)
{
	struct extents *extents = calloc(1, sizeof(*extents));

	if (!extents)
		return NULL;
	extents->left = length;
	extents->block = block;
	extents->most = most;
	return extents;
}

void extents_free(struct extents *extents)
{
	while (extents) {
		struct extents *next = extents->next;

		free(extents->list);
		free(extents);
		extents = next;
	}
}

static bool has_room(struct extents *extents)
{
	unsigned capacity = extents->capacity ? 2 * extents->capacity : FIRST_CAPACITY;
	struct extent *list;

	if (extents->count == extents->most)
		return false;
	if (extents->count < extents->capacity)
		return true;
	list = realloc(extents->list, capacity * sizeof(*list));
	if (!list)
		return false;
	extents->list = list;
	extents->capacity = capacity;
	return true;
}

/* Whole blocks. */
static void push(struct extents *extents, uint64_t length, uint64_t kind)
{
	struct extent *last = extents->count ? &extents->list[extents->count - 1] : NULL;

	if (last && last->kind == kind)
		last->length += length;
	else if (has_room(extents))
		extents->list[extents->count++] = (struct extent){ length, kind };
	else
		extents->left = 0;
}

/* The first bytes of LENGTH that are more of a block that isn't whole; how many these were. */
static uint64_t add_partial(struct extents *extents, uint64_t length, uint64_t kind)
{
	uint32_t missing = extents->block - extents->partial;

	if (length > missing)
		length = missing;
	extents->partial_kind = extents->partial ? extents->partial_kind & kind : kind;
	extents->partial += (uint32_t)length;
	extents->left -= length;
	if (extents->partial == extents->block) {
		extents->partial = 0;
		push(extents, extents->block, extents->partial_kind);
	}
	return length;
}

bool extents_add(struct extents *extents, uint64_t length, uint64_t kind)
{
	if (length > extents->left)
		length = extents->left;
	if (length && extents->partial)
		length -= add_partial(extents, length, kind);
	if (extents->left && length >= extents->block) {
		uint64_t whole = round_down(length, extents->block);

		extents->left -= whole;
		length -= whole;
		push(extents, whole, kind);
	}
	if (extents->left && length)
		add_partial(extents, length, kind);
	return extents->left <= extents->ahead;
}
