/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/reply.h"

#include <errno.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/request.h"
#include "server/nbd/context.h"

static uint8_t zeroes[BUFFER_SEGMENT_SIZE]; /* never written to */

uint32_t reply_error(int error)
{
	switch (-error) {
	case 0:
		return NBD_SUCCESS;
	case EPERM:
	case EACCES:
	case EROFS:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return NBD_ENOSPC;
	case ENOTSUP:
		return NBD_ENOTSUP;
	default:
		return NBD_EIO;
	}
}

/* For whoever has to find out what it was. */
static const char *reason_of(uint32_t error)
{
	switch (error) {
	case NBD_EPERM:
		return "the export can only be read";
	case NBD_ENOMEM:
		return "the server has no memory for it";
	case NBD_EINVAL:
		return "not a request that this export takes: its command, flags, offset or length";
	case NBD_ENOSPC:
		return "no space is left, or it goes beyond the end";
	case NBD_ENOTSUP:
		return "it would not be fast";
	default:
		return "the disk has failed to do it";
	}
}

static void put_simple(struct request *request, uint32_t error)
{
	put_be32(request->header, NBD_SIMPLE_REPLY_MAGIC);
	put_be32(request->header + 4, error);
	put_be64(request->header + 8, request->cookie);
	request->header_length = NBD_SIMPLE_REPLY_SIZE;
}

/* PAYLOAD bytes follow it. */
static void put_chunk_header(uint8_t *at, const struct request *request, uint16_t flags, uint16_t type, uint64_t payload)
{
	put_be32(at, NBD_STRUCTURED_REPLY_MAGIC);
	put_be16(at + 4, flags);
	put_be16(at + 6, type);
	put_be64(at + 8, request->cookie);
	put_be32(at + 16, (uint32_t)payload);
}

/* The only chunk of a reply. */
static void put_chunk(struct request *request, uint16_t type, uint64_t payload)
{
	put_chunk_header(request->header, request, NBD_REPLY_FLAG_DONE, type, payload);
	request->header_length = NBD_CHUNK_HEADER_SIZE;
}

/* What precedes the data or text of a chunk goes with its header. */
#define OFFSET_SIZE 8 /* of NBD_REPLY_TYPE_OFFSET_DATA: where the data begins */
#define HOLE_SIZE 4   /* of NBD_REPLY_TYPE_OFFSET_HOLE, behind the offset: how long it is */
#define ERROR_SIZE 6  /* of NBD_REPLY_TYPE_ERROR: the error, the text's length */
#define CONTEXT_SIZE 4 /* of NBD_REPLY_TYPE_BLOCK_STATUS: the context's id */

_Static_assert(NBD_CHUNK_HEADER_SIZE + OFFSET_SIZE <= sizeof(((struct request *)NULL)->header), "there is room for it");

static void put_error(struct request *request, uint32_t error)
{
	const char *reason = reason_of(error);
	size_t length = strlen(reason);

	put_chunk(request, NBD_REPLY_TYPE_ERROR, ERROR_SIZE + length);
	put_be32(request->header + NBD_CHUNK_HEADER_SIZE, error);
	put_be16(request->header + NBD_CHUNK_HEADER_SIZE + 4, (uint16_t)length);
	request->header_length += ERROR_SIZE;
	request->driver.iov[0] = (struct iovec){ (void *)(uintptr_t)reason, length };
	request->driver.iovcnt = 1;
	request->answer_length = request->header_length + length;
}

/*
 * Content chunks: a READ's segments, of which some stand for zeroes (they are at NULL), one chunk for each row of a
 * kind, with the headers in front of them.
 */
#define CONTENT_HEADER (NBD_CHUNK_HEADER_SIZE + OFFSET_SIZE + HOLE_SIZE)

struct contents {
	const struct request *request;
	const struct iovec *from;   /* the segments that are left */
	unsigned left;
	uint64_t offset;            /* where they begin */
};

/* The next row: how many segments, and bytes; at least one of each. */
static unsigned count_row(const struct contents *contents, uint64_t *bytes)
{
	bool hole = !contents->from->iov_base;
	unsigned count = 0;

	*bytes = 0;
	do {
		*bytes += contents->from[count++].iov_len;
	} while (count < contents->left && !contents->from[count].iov_base == hole);
	return count;
}

/* Its header; returns how long that is. */
static size_t put_content_header(uint8_t *at, const struct contents *contents, bool last, uint64_t bytes)
{
	bool hole = !contents->from->iov_base;

	put_chunk_header(at, contents->request, last ? NBD_REPLY_FLAG_DONE : 0,
			 hole ? NBD_REPLY_TYPE_OFFSET_HOLE : NBD_REPLY_TYPE_OFFSET_DATA, OFFSET_SIZE + (hole ? HOLE_SIZE : bytes));
	put_be64(at + NBD_CHUNK_HEADER_SIZE, contents->offset);
	if (hole)
		put_be32(at + NBD_CHUNK_HEADER_SIZE + OFFSET_SIZE, (uint32_t)bytes);
	return NBD_CHUNK_HEADER_SIZE + OFFSET_SIZE + (hole ? HOLE_SIZE : 0);
}

static unsigned count_rows(const struct request *request)
{
	unsigned rows = 0;

	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		rows += i == 0 || !request->driver.iov[i].iov_base != !request->driver.iov[i - 1].iov_base;
	return rows;
}

/* False: there is no memory for so many headers. */
static bool put_contents(struct request *request)
{
	unsigned rows = count_rows(request);
	struct contents contents = { request, request->driver.iov, request->driver.iovcnt, request->driver.offset };
	uint8_t *headers = request_get_memory(request, (uint64_t)rows * CONTENT_HEADER);
	struct iovec *to = request_get_memory(request, (uint64_t)(rows + contents.left) * sizeof(*to));

	if (!headers || !to)
		return false;
	request->driver.iov = to;
	request->header_length = 0;
	request->answer_length = 0;
	for (; contents.left; headers += CONTENT_HEADER) {
		uint64_t bytes;
		unsigned count = count_row(&contents, &bytes);
		size_t length = put_content_header(headers, &contents, count == contents.left, bytes);
		bool data = contents.from->iov_base;

		*to++ = (struct iovec){ headers, length };
		if (data) {
			memcpy(to, contents.from, count * sizeof(*to));
			to += count;
		}
		request->answer_length += length + (data ? bytes : 0);
		contents.offset += bytes;
		contents.from += count;
		contents.left -= count;
	}
	request->driver.iovcnt = (uint32_t)(to - request->driver.iov);
	return true;
}

/* For whoever takes data only: the segments that stand for zeroes become some.  -ENOMEM, -EINVAL: there are too many. */
static int fill_holes(struct request *request)
{
	const struct iovec *from = request->driver.iov;
	unsigned left = request->driver.iovcnt, count = left;
	int result;

	for (unsigned i = 0; i < left; i++)
		count += from[i].iov_base ? 0 : (unsigned)((from[i].iov_len - 1) / sizeof(zeroes));
	result = request_reserve_segments(request, count);
	if (result < 0)
		return result;
	request->driver.iovcnt = count;
	/* From behind, for it may be the same array. */
	while (left--) {
		struct iovec segment = from[left];

		while (!segment.iov_base && segment.iov_len > sizeof(zeroes)) {
			request->driver.iov[--count] = (struct iovec){ zeroes, sizeof(zeroes) };
			segment.iov_len -= sizeof(zeroes);
		}
		request->driver.iov[--count] = (struct iovec){ segment.iov_base ? segment.iov_base : zeroes, segment.iov_len };
	}
	return 0;
}

static bool has_holes(const struct request *request)
{
	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		if (!request->driver.iov[i].iov_base)
			return true;
	return false;
}

static void put_data(struct request *request)
{
	put_chunk(request, NBD_REPLY_TYPE_OFFSET_DATA, OFFSET_SIZE + request->driver.length);
	put_be64(request->header + NBD_CHUNK_HEADER_SIZE, request->driver.offset);
	request->header_length += OFFSET_SIZE;
}

void reply_put_status(struct request *request, uint32_t id, void *descriptors, size_t length)
{
	put_chunk(request, NBD_REPLY_TYPE_BLOCK_STATUS, CONTEXT_SIZE + length);
	put_be32(request->header + NBD_CHUNK_HEADER_SIZE, id);
	request->header_length += CONTEXT_SIZE;
	request->driver.iov[0] = (struct iovec){ descriptors, length };
	request->driver.iovcnt = 1;
	request->answer_length = request->header_length + length;
}

void reply_build(struct request *request, bool structured)
{
	bool reads = request->driver.op == PLATTER_OP_READ;
	uint32_t error;

	if (reads && request->error == 0 && has_holes(request)) {
		if (structured && !request->unfragmented && put_contents(request))
			return;
		request->error = fill_holes(request);
	}
	error = reply_error(request->error);
	/* The specification knows it only as the answer to FAST_ZERO. */
	if (error == NBD_ENOTSUP && !(request->driver.flags & PLATTER_REQ_FAST_ZERO))
		error = NBD_EIO;
	if (structured && error) {
		put_error(request, error);
		return;
	}
	if (request->driver.op == PLATTER_OP_EXTENTS) {
		context_put_status(request);
		return;
	}
	if (!structured || !reads)
		put_simple(request, error);
	else if (request->driver.length)
		put_data(request);
	else
		put_chunk(request, NBD_REPLY_TYPE_NONE, 0);
	request->answer_length = request->header_length + (request->driver.iovcnt ? request->driver.length : 0);
}
