/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/ask.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/mark.h"
#include "tests/fuzz/fuzz.h"

static bool is_change(const struct ask *ask)
{
	return ask->answer.type == NBD_CMD_WRITE || ask->answer.type == NBD_CMD_TRIM || ask->answer.type == NBD_CMD_WRITE_ZEROES;
}

/* Whether the shadow knows of it. */
static bool covers(const struct ask *ask)
{
	return is_change(ask) && !ask->faults && !ask->drops;
}

static bool is_sync(const struct ask *ask)
{
	return ask->answer.type == NBD_CMD_FLUSH || (is_change(ask) && (ask->answer.flags & NBD_CMD_FLAG_FUA));
}

/* A BLOCK_STATUS whose payload says how long it is, and of which contexts. */
static bool names_contexts(const struct client *client, const struct answer *answer)
{
	return answer->type == NBD_CMD_BLOCK_STATUS && (answer->flags & NBD_CMD_FLAG_PAYLOAD_LEN) &&
	       (client->flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD);
}

static uint16_t known_flags(const struct client *client, const struct answer *answer)
{
	uint16_t known = client->flags & NBD_FLAG_SEND_FUA ? NBD_CMD_FLAG_FUA : 0;

	if (answer->type == NBD_CMD_READ && (client->flags & NBD_FLAG_SEND_DF))
		known |= NBD_CMD_FLAG_DF;
	if (answer->type == NBD_CMD_WRITE_ZEROES)
		known |= NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO;
	if (answer->type == NBD_CMD_BLOCK_STATUS)
		known |= NBD_CMD_FLAG_REQ_ONE;
	if (client->form == ANSWER_EXTENDED && (answer->type == NBD_CMD_WRITE || names_contexts(client, answer)))
		known |= NBD_CMD_FLAG_PAYLOAD_LEN;
	return known;
}

static bool is_offered(const struct client *client, const struct answer *answer)
{
	switch (answer->type) {
	case NBD_CMD_READ:
	case NBD_CMD_WRITE:
	case NBD_CMD_DISC:
		return true;
	case NBD_CMD_FLUSH:
		return client->flags & NBD_FLAG_SEND_FLUSH;
	case NBD_CMD_TRIM:
		return client->flags & NBD_FLAG_SEND_TRIM;
	case NBD_CMD_CACHE:
		return client->flags & NBD_FLAG_SEND_CACHE;
	case NBD_CMD_WRITE_ZEROES:
		return client->flags & NBD_FLAG_SEND_WRITE_ZEROES;
	case NBD_CMD_BLOCK_STATUS:
		return client->context_count && answer->length;
	default:
		return false;
	}
}

/* All that is wrong with a request: any of it may be what it is refused for. */
static unsigned find_faults(const struct client *client, const struct ask *ask)
{
	const struct answer *answer = &ask->answer;
	uint64_t bytes = client->world->backing->bytes;
	uint32_t block = client->world->backing->disk->geometry.min_block;
	unsigned faults = 0;

	if ((answer->flags & ~known_flags(client, answer)) || !is_offered(client, answer))
		faults |= FAULT_EINVAL;
	if (names_contexts(client, answer) && answer->status_count == 0)
		faults |= FAULT_EINVAL;
	/* A payload is of the length that is claimed; with extended headers a WRITE has to say that there is one. */
	if (answer->type == NBD_CMD_WRITE && ask->payload != answer->length)
		faults |= FAULT_EINVAL;
	if (is_change(ask) && (client->flags & NBD_FLAG_READ_ONLY))
		faults |= FAULT_EPERM;
	if (answer->type == NBD_CMD_FLUSH)
		return answer->offset || answer->length ? faults | FAULT_EINVAL : faults;
	if (answer->offset > bytes || answer->length > bytes - answer->offset)
		faults |= is_change(ask) && answer->type != NBD_CMD_TRIM ? FAULT_ENOSPC : FAULT_EINVAL;
	if (!client->world->backing->disk->emulates && (answer->offset % block || answer->length % block))
		faults |= FAULT_EINVAL;
	return faults;
}

/* The payload of a BLOCK_STATUS: the length, and contexts' ids.  Returns how long it is. */
static size_t put_contexts(uint8_t *payload, uint64_t length, unsigned contexts)
{
	static const uint32_t ids[4][2] = { { 1 }, { 0 }, { 1, 1 }, { 2 } };
	static const unsigned counts[4] = { 1, 0, 2, 1 };

	put_be64(payload, length);
	for (unsigned i = 0; i < counts[contexts]; i++)
		put_be32(payload + NBD_STATUS_PAYLOAD_SIZE + 4 * i, ids[contexts][i]);
	return NBD_STATUS_PAYLOAD_SIZE + 4 * counts[contexts];
}

/* What its answer has to tell of: of all contexts, or of those that put_contexts() names. */
static void expect_statuses(const struct client *client, struct ask *ask)
{
	static const uint32_t ids[4] = { 1, 0, 0, 2 };
	static const uint64_t bits[] = {
		[SELECTED_ALLOCATION] = PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO, [SELECTED_PAGES] = UINT32_MAX, [SELECTED_MARK] = MARK_DIRTY,
	};
	struct answer *answer = &ask->answer;

	for (unsigned i = 0; i < client->context_count; i++) {
		const struct selected *selected = &client->contexts[i];

		if (!names_contexts(client, answer) || selected->id == ids[ask->contexts])
			answer->statuses[answer->status_count++] = (struct answer_status){ selected->id, bits[selected->kind], NULL, 0 };
	}
}

/* What its header claims, and what follows that. */
static void claim(const struct client *client, struct ask *ask, const struct wanted *wanted)
{
	uint8_t payload[ASK_MOST_HEADER];
	bool has_payload = client->form == ANSWER_EXTENDED ? wanted->flags & NBD_CMD_FLAG_PAYLOAD_LEN : wanted->type == NBD_CMD_WRITE;

	ask->contexts = wanted->contexts;
	ask->claimed = client->form == ANSWER_EXTENDED ? wanted->length : (uint32_t)wanted->length;
	ask->answer.length = ask->claimed;
	if (names_contexts(client, &ask->answer))
		ask->claimed = put_contexts(payload, wanted->length, wanted->contexts);
	ask->payload = has_payload ? ask->claimed : 0;
}

struct ask *ask_new(struct client *client, const struct wanted *wanted)
{
	struct ask *ask = fuzz_alloc(sizeof(*ask));
	struct world *world = client->world;

	list_init(&ask->link);
	ask->number = ++world->asked;
	ask->answer = (struct answer){
		/* No two are alike, and in no two bytes. */
		.cookie = UINT64_C(0x9e3779b97f4a7c15) * ask->number,
		.offset = wanted->offset,
		.type = wanted->type,
		.flags = wanted->flags,
		.form = client->form,
	};
	claim(client, ask, wanted);
	expect_statuses(client, ask);
	ask->capacity = world->backing->bytes;
	ask->no_magic = wanted->no_magic;
	ask->drops = wanted->no_magic || ask->payload > NBD_MOST_PAYLOAD;
	ask->faults = find_faults(client, ask);
	/* Where blocks are read to be changed in part, nothing is fast. */
	ask->excused = world->backing->disk->emulates && (wanted->flags & NBD_CMD_FLAG_FAST_ZERO);
	ask->sent = shadow_arrive(&world->shadow);
	if (covers(ask))
		shadow_begin(&world->shadow, ask->answer.offset, ask->answer.length);
	return ask;
}

void ask_arrives(struct client *client, struct ask *ask)
{
	bool covered = covers(ask);

	ask->faults = find_faults(client, ask);
	if (covers(ask) && !covered)
		shadow_begin(&client->world->shadow, ask->answer.offset, ask->answer.length);
}

size_t ask_header_size(const struct client *client)
{
	return client->form == ANSWER_EXTENDED ? NBD_EXTENDED_REQUEST_SIZE : NBD_REQUEST_SIZE;
}

size_t ask_put_header(const struct client *client, const struct ask *ask, uint8_t header[ASK_MOST_HEADER])
{
	bool extended = client->form == ANSWER_EXTENDED;
	size_t size = ask_header_size(client);

	put_be32(header, ask->no_magic ? NBD_SIMPLE_REPLY_MAGIC : extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
	put_be16(header + 4, ask->answer.flags);
	put_be16(header + 6, ask->answer.type);
	put_be64(header + 8, ask->answer.cookie);
	put_be64(header + 16, ask->answer.offset);
	if (extended)
		put_be64(header + 24, ask->claimed);
	else
		put_be32(header + 24, (uint32_t)ask->claimed);
	if (names_contexts(client, &ask->answer))
		size += put_contexts(header + size, ask->answer.length, ask->contexts);
	return size;
}

const uint8_t *ask_content(const struct ask *ask)
{
	static uint8_t content[BACKING_LARGEST];

	/* Every fourth writes zeroes, for there to be holes in what has been written. */
	for (uint32_t i = 0; i < ask->answer.length; i++)
		content[i] = ask->number % 4 ? (uint8_t)(ask->number * 37 + i * 3 + (i >> 8)) : 0;
	return content;
}

static unsigned fault_of(uint32_t error)
{
	return error == NBD_EINVAL ? FAULT_EINVAL : error == NBD_EPERM ? FAULT_EPERM : error == NBD_ENOSPC ? FAULT_ENOSPC : 0;
}

static void check_error(const struct client *client, const struct ask *ask)
{
	const struct answer *answer = &ask->answer;
	/* For who has hung up, the disk isn't asked about another context. */
	bool alone = client->leaving && answer->status_count > 1;
	bool excused = ask->excused || alone || (client->world->sync_failed && is_sync(ask));

	if (ask->faults)
		fuzz_check(ask->faults & fault_of(answer->error), "command %u, flags %#x, %" PRIu64 " bytes at %" PRIu64 ": the answer is %u",
			   answer->type, answer->flags, answer->length, answer->offset, answer->error);
	else
		fuzz_check(!answer->error || excused, "command %u failed, %u, and the driver didn't", answer->type, answer->error);
}

/* Of one that failed, what came before the error. */
static void check_data(const struct shadow *shadow, const struct ask *ask)
{
	for (uint32_t i = 0; i < ask->answer.length; i++) {
		int expected = shadow_expected(shadow, ask->answer.offset + i, ask->sent);

		if (expected >= 0 && ask->answer.kinds[i] != ANSWER_MISSING)
			fuzz_check(expected == ask->answer.data[i], "byte %" PRIu64 " is %#x instead of %#x", ask->answer.offset + i,
				   ask->answer.data[i], (unsigned)expected);
	}
}

static void check_allocation(const struct client *client, const struct ask *ask, const struct answer_status *status)
{
	const struct disk *disk = client->world->backing->disk;
	uint32_t block = disk->emulates ? 1 : disk->geometry.min_block;
	uint64_t at = ask->answer.offset;

	for (unsigned i = 0; i < status->count; i++) {
		const struct answer_extent *extent = &status->extents[i];

		fuzz_check(extent->length % block == 0, "an extent of %" PRIu64 " bytes of a disk with blocks of %u", extent->length, block);
		for (uint64_t j = 0; j < extent->length && (extent->flags & PLATTER_EXTENT_ZERO); j++)
			fuzz_check(shadow_expected(&client->world->shadow, at + j, ask->sent) <= 0, "byte %" PRIu64 " is said to be zero",
				   at + j);
		at += extent->length;
	}
}

/* Of a disk whose driver isn't asked, nothing is told. */
static void check_pages(const struct client *client, const struct ask *ask, const struct answer_status *status)
{
	bool asked = client->world->backing->disk->geometry.capabilities & PLATTER_DISK_EXTENTS;
	uint64_t at = ask->answer.offset, end = at;

	for (unsigned i = 0; i < status->count; i++) {
		end += status->extents[i].length;
		for (; at < end; at += BACKING_PAGE - at % BACKING_PAGE)
			fuzz_check(status->extents[i].flags == (asked ? backing_page_kind(at) : 0),
				   "the page at %" PRIu64 " is said to be of kind %#" PRIx64, at, status->extents[i].flags);
		at = end;
	}
}

static void check_status(const struct client *client, const struct ask *ask)
{
	for (unsigned i = 0; i < ask->answer.status_count; i++) {
		const struct answer_status *status = &ask->answer.statuses[i];
		const struct selected *selected = client->contexts;

		while (selected->id != status->context)
			selected++;
		if (selected->kind == SELECTED_ALLOCATION)
			check_allocation(client, ask, status);
		else if (selected->kind == SELECTED_PAGES)
			check_pages(client, ask, status);
		else
			dirt_check(client->world, selected->mark, ask, status);
	}
}

void ask_check_answer(const struct client *client, const struct ask *ask)
{
	check_error(client, ask);
	if (ask->answer.data)
		check_data(&client->world->shadow, ask);
	if (ask->answer.error == 0 && ask->answer.type == NBD_CMD_BLOCK_STATUS)
		check_status(client, ask);
}

void ask_excuse(struct world *world, struct ask *ask, const struct platter_request *request)
{
	bool overlaps = !ask->faults && request->offset < ask->answer.offset + ask->answer.length &&
			ask->answer.offset < request->offset + request->length;

	if (overlaps) {
		ask->excused = true;
		world->sync_failed |= is_sync(ask);
	}
}

void ask_free(struct client *client, struct ask *ask, bool done)
{
	bool known = done && !client->leaving && ask->answer.type != NBD_CMD_TRIM;
	struct shadow *shadow = &client->world->shadow;

	/* Of one that wasn't answered, or waited for its client's leave, nobody knows when its turn was. */
	if (covers(ask))
		shadow_end(shadow, ask->answer.offset, ask->answer.length, client->leaving ? shadow_arrive(shadow) : ask->arrived, known,
			   ask->answer.type == NBD_CMD_WRITE ? ask_content(ask) : NULL);
	list_del_init(&ask->link);
	answer_free(&ask->answer);
	free(ask);
}
