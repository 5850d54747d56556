/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/dirt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/mark.h"
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz.h"

_Static_assert(SHADOW_PART == MARK_GRANULE, "the shadow knows when the last change of each granule was");

struct dirt *dirt_find(struct world *world, unsigned name)
{
	for (unsigned i = 0; i < world->dirts.count; i++)
		if (world->dirts.list[i].set && world->dirts.list[i].name == name)
			return &world->dirts.list[i];
	return NULL;
}

void dirt_set(struct world *world, unsigned name)
{
	struct dirt *before = dirt_find(world, name), *dirt = &world->dirts.list[world->dirts.count];
	struct disk *disk = world->backing->disk;
	struct platter_error error;
	char text[8];

	if (world->dirts.count == DIRT_MOST)
		return;
	snprintf(text, sizeof(text), "m%u", name);
	fuzz_check(marks_set(&disk->marks, text, &error) == (before ? -EEXIST : 0), "the mark %s is%s there", text, before ? "n't" : "");
	if (before)
		return;
	world->dirts.count++;
	*dirt = (struct dirt){ .name = name, .set = true, .since = shadow_arrive(&world->shadow), .size = disk_capacity(disk) };
	dirt->snapshot = fuzz_alloc(dirt->size);
	memcpy(dirt->snapshot, world->backing->memory, dirt->size);
}

void dirt_unset(struct world *world, unsigned name)
{
	struct dirt *dirt = dirt_find(world, name);
	struct platter_error error;
	char text[8];

	snprintf(text, sizeof(text), "m%u", name);
	fuzz_check(marks_unset(&world->backing->disk->marks, text, &error) == (dirt ? 0 : -ENOENT), "the mark %s is%s there", text,
		   dirt ? "n't" : "");
	if (!dirt)
		return;
	dirt->set = false;
	dirt->lost = dirt->lost ? dirt->lost : shadow_arrive(&world->shadow);
}

void dirt_lose(struct world *world)
{
	backing_change_medium(world->backing);
	for (unsigned i = 0; i < world->dirts.count; i++)
		if (!world->dirts.list[i].lost)
			world->dirts.list[i].lost = shadow_arrive(&world->shadow);
}

/* The granule in which AT is, is told to be DIRTY or not. */
static void check_granule(const struct world *world, const struct dirt *dirt, const struct ask *ask, uint64_t at, bool dirty)
{
	uint64_t begin = at - at % MARK_GRANULE, end = begin + MARK_GRANULE;
	uint32_t changed = shadow_changed(&world->shadow, at);
	uint64_t old = end < dirt->size ? end : dirt->size;

	/* Nobody has changed anything since, and the disk didn't grow there. */
	if (!dirt->lost && changed < dirt->since && (end <= dirt->size || disk_capacity(world->backing->disk) == dirt->size))
		fuzz_check(!dirty, "the mark m%u tells of a change at %" PRIu64 ", and there is none", dirt->name, begin);
	if (dirty)
		return;
	fuzz_check(!dirt->lost || dirt->lost > ask->sent, "the mark m%u was lost, and at %" PRIu64 " nothing is dirty", dirt->name, begin);
	fuzz_check(end <= dirt->size || ask->capacity == dirt->size, "at %" PRIu64 " the disk has grown, and that isn't dirty", begin);
	/* All that was changed since is answered for. */
	if (changed < ask->sent && begin < old)
		fuzz_check(memcmp(dirt->snapshot + begin, world->backing->memory + begin, old - begin) == 0,
			   "the mark m%u doesn't tell of a change at %" PRIu64, dirt->name, begin);
}

void dirt_check(const struct world *world, const struct dirt *dirt, const struct ask *ask, const struct answer_status *status)
{
	uint64_t at = ask->answer.offset, end = at;

	for (unsigned i = 0; i < status->count; i++) {
		end += status->extents[i].length;
		while (at < end) {
			check_granule(world, dirt, ask, at, status->extents[i].flags & MARK_DIRTY);
			at += MARK_GRANULE - at % MARK_GRANULE;
		}
		fuzz_check(i + 1 == status->count || end % MARK_GRANULE == 0, "an extent of a mark ends within a granule");
		at = end;
	}
	fuzz_check(end == ask->answer.offset + ask->answer.length || (ask->answer.flags & NBD_CMD_FLAG_REQ_ONE),
		   "the mark m%u tells of %" PRIu64 " bytes instead of %" PRIu64, dirt->name, end - ask->answer.offset, ask->answer.length);
}

void dirt_free_all(struct world *world)
{
	while (world->dirts.count)
		free(world->dirts.list[--world->dirts.count].snapshot);
}
