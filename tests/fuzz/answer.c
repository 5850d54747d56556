/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/answer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "common/wire.h"
#include "tests/fuzz/fuzz.h"

static bool is(const struct answer *answer, unsigned type)
{
	return answer->type == type;
}

uint64_t answer_cookie(const uint8_t *bytes, size_t left)
{
	/* Simple replies and chunks have it at the same place. */
	fuzz_check(left >= NBD_SIMPLE_REPLY_SIZE, "%zu bytes are no reply", left);
	return get_be64(bytes + 8);
}

static void take_error(struct answer *answer, uint32_t error)
{
	bool fast_zero = is(answer, NBD_CMD_WRITE_ZEROES) && (answer->flags & NBD_CMD_FLAG_FAST_ZERO);

	switch (error) {
	case NBD_EPERM:
	case NBD_EIO:
	case NBD_ENOMEM:
	case NBD_EINVAL:
	case NBD_ENOSPC:
		break;
	case NBD_ENOTSUP:
		fuzz_check(fast_zero, "NBD_ENOTSUP for what isn't FAST_ZERO: command %u", answer->type);
		break;
	default:
		fuzz_fail("there is no error %u for command %u", error, answer->type);
	}
	answer->error = error;
}

static void allocate(struct answer *answer)
{
	if (answer->data)
		return;
	answer->data = fuzz_alloc(answer->length);
	answer->kinds = fuzz_alloc(answer->length);
}

/* LENGTH bytes at OFFSET of the disk are DATA; NULL: zeroes. */
static void take_content(struct answer *answer, uint64_t offset, uint64_t length, const uint8_t *data)
{
	uint64_t at = offset - answer->offset;

	fuzz_check(is(answer, NBD_CMD_READ), "content for command %u", answer->type);
	fuzz_check(length, "a chunk without content");
	fuzz_check(offset >= answer->offset && at <= answer->length && length <= answer->length - at,
		   "content of %" PRIu64 " bytes at %" PRIu64 " for %" PRIu64 " bytes at %" PRIu64, length, offset, answer->length,
		   answer->offset);
	fuzz_check(answer->error == 0, "content behind an error");
	allocate(answer);
	fuzz_check(!memchr(answer->kinds + at, ANSWER_DATA, length) && !memchr(answer->kinds + at, ANSWER_HOLE, length),
		   "content of %" PRIu64 " bytes at %" PRIu64 " overlaps what came before", length, offset);
	memset(answer->kinds + at, data ? ANSWER_DATA : ANSWER_HOLE, length);
	if (data)
		memcpy(answer->data + at, data, length);
	answer->contents++;
}

static size_t take_simple(struct answer *answer, const uint8_t *bytes, size_t left)
{
	uint32_t error = get_be32(bytes + 4);

	fuzz_check(answer->form == ANSWER_SIMPLE ||
			   (answer->form == ANSWER_STRUCTURED && !is(answer, NBD_CMD_READ) && !is(answer, NBD_CMD_BLOCK_STATUS)),
		   "a simple reply to command %u, which wants another", answer->type);
	fuzz_check(error || !is(answer, NBD_CMD_BLOCK_STATUS), "block status without structured replies");
	answer->done = true;
	if (error)
		take_error(answer, error);
	if (error || !is(answer, NBD_CMD_READ) || answer->length == 0)
		return NBD_SIMPLE_REPLY_SIZE;
	fuzz_check(left - NBD_SIMPLE_REPLY_SIZE >= answer->length, "a reply without all of its data");
	take_content(answer, answer->offset, answer->length, bytes + NBD_SIMPLE_REPLY_SIZE);
	return NBD_SIMPLE_REPLY_SIZE + answer->length;
}

static void take_data(struct answer *answer, const uint8_t *payload, uint64_t length)
{
	fuzz_check(length > 8, "a data chunk of %" PRIu64 " bytes", length);
	take_content(answer, get_be64(payload), length - 8, payload + 8);
}

static void take_hole(struct answer *answer, const uint8_t *payload, uint64_t length)
{
	fuzz_check(length == 12, "a hole chunk of %" PRIu64 " bytes", length);
	take_content(answer, get_be64(payload), get_be32(payload + 8), NULL);
}

/* With NBD_REPLY_TYPE_ERROR_OFFSET, eight bytes follow the text. */
static void take_error_chunk(struct answer *answer, const uint8_t *payload, uint64_t length, bool offset)
{
	uint32_t tail = offset ? 8 : 0;
	uint16_t text;

	fuzz_check(length >= 6 + tail, "an error chunk of %" PRIu64 " bytes", length);
	text = get_be16(payload + 4);
	fuzz_check(text == length - 6 - tail && text <= NBD_MAX_STRING, "a text of %u bytes in an error chunk of %" PRIu64, text, length);
	fuzz_check(!u8_check(payload + 6, text) && !memchr(payload + 6, 0, text), "an error's text is not UTF-8");
	fuzz_check(get_be32(payload), "an error chunk that says NBD_SUCCESS");
	if (offset) {
		answer->error_at = get_be64(payload + 6 + text);
		fuzz_check(answer->error_at >= answer->offset && answer->error_at - answer->offset < answer->length,
			   "an error at %" PRIu64 ", beyond the request", answer->error_at);
	}
	take_error(answer, get_be32(payload));
}

static struct answer_status *find_status(struct answer *answer, uint32_t context)
{
	for (unsigned i = 0; i < answer->status_count; i++)
		if (answer->statuses[i].context == context)
			return &answer->statuses[i];
	fuzz_fail("block status of context %u, which wasn't asked for", context);
}

/* With extended headers the count comes behind the context's id, and all is twice as wide. */
static void take_status(struct answer *answer, const uint8_t *payload, uint64_t length)
{
	bool extended = answer->form == ANSWER_EXTENDED;
	unsigned fields = extended ? 8 : 4, size = extended ? NBD_EXTENDED_DESCRIPTOR_SIZE : NBD_DESCRIPTOR_SIZE;
	struct answer_status *status;

	fuzz_check(is(answer, NBD_CMD_BLOCK_STATUS), "block status for command %u", answer->type);
	fuzz_check(length > fields && (length - fields) % size == 0, "a block status chunk of %" PRIu64 " bytes", length);
	status = find_status(answer, get_be32(payload));
	fuzz_check(!status->extents, "block status of context %u twice", status->context);
	status->count = (unsigned)((length - fields) / size);
	fuzz_check(!extended || get_be32(payload + 4) == status->count, "%u extents, of which there are %u", get_be32(payload + 4),
		   status->count);
	status->extents = fuzz_alloc(status->count * sizeof(*status->extents));
	for (unsigned i = 0; i < status->count; i++) {
		const uint8_t *at = payload + fields + i * size;

		status->extents[i] = extended ? (struct answer_extent){ get_be64(at), get_be64(at + 8) } :
						(struct answer_extent){ get_be32(at), get_be32(at + 4) };
	}
}

/* Stricter than the specification where this server promises more: no extent reaches beyond the request. */
static void check_extents(const struct answer *answer, const struct answer_status *status)
{
	uint64_t sum = 0;

	fuzz_check(status->extents, "no block status of context %u, and no error", status->context);
	fuzz_check(status->count == 1 || !(answer->flags & NBD_CMD_FLAG_REQ_ONE), "%u extents instead of one", status->count);
	for (unsigned i = 0; i < status->count; i++) {
		const struct answer_extent *extent = &status->extents[i];

		fuzz_check(extent->length, "an extent of no length");
		fuzz_check(!(extent->flags & ~status->bits), "an extent's flags are %#" PRIx64, extent->flags);
		fuzz_check(i == 0 || extent[-1].flags != extent->flags, "extents %u and %u should be one", i - 1, i);
		sum += extent->length;
	}
	fuzz_check(sum <= answer->length, "extents of %" PRIu64 " bytes for a request of %" PRIu64, sum, answer->length);
}

static void finish(struct answer *answer)
{
	answer->done = true;
	if (answer->error)
		return;
	for (unsigned i = 0; is(answer, NBD_CMD_BLOCK_STATUS) && i < answer->status_count; i++)
		check_extents(answer, &answer->statuses[i]);
	if (!is(answer, NBD_CMD_READ) || answer->length == 0)
		return;
	fuzz_check(answer->kinds && !memchr(answer->kinds, ANSWER_MISSING, answer->length), "DONE without all of the data");
	fuzz_check(answer->contents == 1 || !(answer->flags & NBD_CMD_FLAG_DF), "DF, and %u chunks", answer->contents);
}

static void take_payload(struct answer *answer, uint16_t type, bool done, const uint8_t *payload, uint64_t length)
{
	uint16_t status = answer->form == ANSWER_EXTENDED ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS;

	if (type == NBD_REPLY_TYPE_NONE)
		fuzz_check(done && length == 0, "a chunk without content, of %" PRIu64 " bytes, that isn't the last", length);
	else if (type == NBD_REPLY_TYPE_OFFSET_DATA)
		take_data(answer, payload, length);
	else if (type == NBD_REPLY_TYPE_OFFSET_HOLE)
		take_hole(answer, payload, length);
	else if (type == status)
		take_status(answer, payload, length);
	else if (type == NBD_REPLY_TYPE_ERROR || type == NBD_REPLY_TYPE_ERROR_OFFSET)
		take_error_chunk(answer, payload, length, type == NBD_REPLY_TYPE_ERROR_OFFSET);
	else
		fuzz_fail("there is no chunk of type %u", type);
}

static size_t take_chunk(struct answer *answer, const uint8_t *bytes, size_t left)
{
	bool extended = answer->form == ANSWER_EXTENDED, done;
	size_t header = extended ? NBD_EXTENDED_CHUNK_SIZE : NBD_CHUNK_HEADER_SIZE;
	uint64_t length;

	fuzz_check(answer->form != ANSWER_SIMPLE, "a structured reply that wasn't negotiated");
	fuzz_check(get_be32(bytes) == (extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC), "a reply's magic is %#x",
		   get_be32(bytes));
	fuzz_check(left >= header, "a chunk's header of %zu bytes", left);
	fuzz_check(!(get_be16(bytes + 4) & ~NBD_REPLY_FLAG_DONE), "a chunk's flags are %#x", get_be16(bytes + 4));
	fuzz_check(!extended || get_be64(bytes + 16) == answer->offset, "a chunk of a request at another offset");
	done = get_be16(bytes + 4) & NBD_REPLY_FLAG_DONE;
	length = extended ? get_be64(bytes + 24) : get_be32(bytes + 16);
	fuzz_check(length <= left - header, "a chunk of %" PRIu64 " bytes, of which there are %zu", length, left - header);
	take_payload(answer, get_be16(bytes + 6), done, bytes + header, length);
	if (done)
		finish(answer);
	return header + length;
}

size_t answer_take(struct answer *answer, const uint8_t *bytes, size_t left)
{
	fuzz_check(answer_cookie(bytes, left) == answer->cookie, "a reply with another cookie");
	fuzz_check(!answer->done, "a second reply to a request, command %u", answer->type);
	return get_be32(bytes) == NBD_SIMPLE_REPLY_MAGIC ? take_simple(answer, bytes, left) : take_chunk(answer, bytes, left);
}

void answer_free(struct answer *answer)
{
	free(answer->data);
	free(answer->kinds);
	answer->data = answer->kinds = NULL;
	while (answer->status_count)
		free(answer->statuses[--answer->status_count].extents);
}
