/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/reply.h"

#include <errno.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/request.h"

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

/* What precedes the data or text of a chunk goes with its header. */
#define OFFSET_SIZE 8 /* of NBD_REPLY_TYPE_OFFSET_DATA: where the data begins */
#define HOLE_SIZE 4   /* of NBD_REPLY_TYPE_OFFSET_HOLE, behind the offset: how long it is */
#define ERROR_SIZE 6  /* of NBD_REPLY_TYPE_ERROR: the error, the text's length */
#define ERROR_SEGMENTS 3 /* an error's chunk with its text and offset */
#define CONTEXT_SIZE 4 /* of NBD_REPLY_TYPE_BLOCK_STATUS: the context's id... */
#define STATUS_SIZE 8 /* ...and of NBD_REPLY_TYPE_BLOCK_STATUS_EXT the number of descriptors, too */

_Static_assert(NBD_EXTENDED_CHUNK_SIZE + OFFSET_SIZE <= sizeof(((struct request *)NULL)->header), "there is room for it");

/* PAYLOAD bytes follow it.  Returns how long it is. */
static size_t put_chunk_header(uint8_t *at, const struct request *request, uint16_t flags, uint16_t type, uint64_t payload)
{
	bool extended = request->form == REPLY_EXTENDED;

	put_be32(at, extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
	put_be16(at + 4, flags);
	put_be16(at + 6, type);
	put_be64(at + 8, request->cookie);
	if (!extended) {
		put_be32(at + 16, (uint32_t)payload);
		return NBD_CHUNK_HEADER_SIZE;
	}
	put_be64(at + 16, request->position);
	put_be64(at + 24, payload);
	return NBD_EXTENDED_CHUNK_SIZE;
}

/* The only chunk of a reply. */
static void put_chunk(struct request *request, uint16_t type, uint64_t payload)
{
	request->header_length = (uint8_t)put_chunk_header(request->header, request, NBD_REPLY_FLAG_DONE, type, payload);
}

/* The error and the text's length, behind the header that ends AT. */
static void put_error_fields(uint8_t *at, uint32_t error, size_t length)
{
	put_be32(at, error);
	put_be16(at + 4, (uint16_t)length);
}

static void put_error(struct request *request, uint32_t error)
{
	const char *reason = reason_of(error);
	size_t length = strlen(reason);

	put_chunk(request, NBD_REPLY_TYPE_ERROR, ERROR_SIZE + length);
	put_error_fields(request->header + request->header_length, error, length);
	request->header_length += ERROR_SIZE;
	request->driver.iov[0] = (struct iovec){ (void *)(uintptr_t)reason, length };
	request->driver.iovcnt = 1;
	request->answer_length = request->header_length + length;
}

/*
 * Content chunks: a READ's segments, of which some stand for zeroes (they are at NULL), one chunk for each row of a
 * kind, with the headers in front of them.
 */
#define CONTENT_HEADER (NBD_EXTENDED_CHUNK_SIZE + OFFSET_SIZE + HOLE_SIZE)

struct contents {
	const struct request *request;
	const struct iovec *from;   /* the segments that are left */
	unsigned left;
	uint64_t offset;            /* where they begin */
	bool last;                  /* nothing comes behind them */
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

/* The header of a row of COUNT segments; returns how long that is. */
static size_t put_content_header(uint8_t *at, const struct contents *contents, unsigned count, uint64_t bytes)
{
	bool hole = !contents->from->iov_base;
	uint16_t flags = contents->last && count == contents->left ? NBD_REPLY_FLAG_DONE : 0;
	size_t length = put_chunk_header(at, contents->request, flags, hole ? NBD_REPLY_TYPE_OFFSET_HOLE : NBD_REPLY_TYPE_OFFSET_DATA,
					 OFFSET_SIZE + (hole ? HOLE_SIZE : bytes));

	put_be64(at + length, contents->offset);
	length += OFFSET_SIZE;
	if (!hole)
		return length;
	put_be32(at + length, (uint32_t)bytes);
	return length + HOLE_SIZE;
}

static unsigned count_rows(const struct request *request)
{
	unsigned rows = 0;

	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		rows += i == 0 || !request->driver.iov[i].iov_base != !request->driver.iov[i - 1].iov_base;
	return rows;
}

/* Leaves room for so many segments BEHIND them; 0: they are all.  False: there is no memory for so many headers. */
static bool put_contents(struct request *request, unsigned behind)
{
	unsigned rows = count_rows(request);
	struct contents contents = { request, request->driver.iov, request->driver.iovcnt, request->position, behind == 0 };
	uint8_t *headers = request_get_memory(request, (uint64_t)rows * CONTENT_HEADER);
	struct iovec *to = request_get_memory(request, (uint64_t)(rows + contents.left + behind) * sizeof(*to));

	if (!headers || !to)
		return false;
	request->driver.iov = to;
	request->header_length = 0;
	request->answer_length = 0;
	for (; contents.left; headers += CONTENT_HEADER) {
		uint64_t bytes;
		unsigned count = count_row(&contents, &bytes);
		size_t length = put_content_header(headers, &contents, count, bytes);
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
	put_be64(request->header + request->header_length, request->position);
	request->header_length += OFFSET_SIZE;
}

/*
 * An error in the middle of the request: what was read before it, and where it was.  What there is to write of its chunk
 * lies in the driver's part of the request.  False: it has to be told without.
 */
static bool put_error_offset(struct request *request, uint32_t error)
{
	const char *reason = reason_of(error);
	size_t text = strlen(reason), length;
	uint8_t *offset = request->driver.data, *at = offset + OFFSET_SIZE;
	struct iovec *to;

	_Static_assert(OFFSET_SIZE + NBD_EXTENDED_CHUNK_SIZE + ERROR_SIZE <= PLATTER_REQUEST_DATA_SIZE, "it fits");
	if (request->driver.op == PLATTER_OP_READ) {
		/* A driver that lends its memory may have said more than it has lent. */
		if (request_segments_length(request) < request->progress)
			return false;
		request_cut(request, request->progress);
		if ((request->unfragmented && has_holes(request)) || !put_contents(request, ERROR_SEGMENTS))
			return false;
	} else {
		request->header_length = 0;
		request->answer_length = 0;
	}
	put_be64(offset, request->position + request->progress);
	length = put_chunk_header(at, request, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR_OFFSET, ERROR_SIZE + text + OFFSET_SIZE);
	put_error_fields(at + length, error, text);
	length += ERROR_SIZE;
	to = request->driver.iov + request->driver.iovcnt;
	to[0] = (struct iovec){ at, length };
	to[1] = (struct iovec){ (void *)(uintptr_t)reason, text };
	to[2] = (struct iovec){ offset, OFFSET_SIZE };
	request->driver.iovcnt += ERROR_SEGMENTS;
	request->answer_length += length + text + OFFSET_SIZE;
	return true;
}

int reply_begin_status(struct request *request, unsigned count)
{
	request->header_length = 0;
	request->answer_length = 0;
	/* A header and descriptors for each. */
	return request_reserve_segments(request, 2 * count);
}

int reply_put_status(struct request *request, uint32_t id, void *descriptors, unsigned count, bool last)
{
	bool extended = request->form == REPLY_EXTENDED;
	size_t length = (size_t)count * (extended ? NBD_EXTENDED_DESCRIPTOR_SIZE : NBD_DESCRIPTOR_SIZE);
	size_t fields = extended ? STATUS_SIZE : CONTEXT_SIZE, header;
	uint8_t *at = request_get_memory(request, NBD_EXTENDED_CHUNK_SIZE + STATUS_SIZE);

	if (!at)
		return -ENOMEM;
	header = put_chunk_header(at, request, last ? NBD_REPLY_FLAG_DONE : 0,
				  extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS, fields + length);
	put_be32(at + header, id);
	if (extended)
		put_be32(at + header + CONTEXT_SIZE, count);
	request->driver.iov[request->driver.iovcnt++] = (struct iovec){ at, header + fields };
	request->driver.iov[request->driver.iovcnt++] = (struct iovec){ descriptors, length };
	request->answer_length += header + fields + length;
	return 0;
}

bool reply_has_data(const struct request *request)
{
	return request->driver.op == PLATTER_OP_READ &&
	       (request->error == 0 || (request->form != REPLY_SIMPLE && request->progress));
}

static uint32_t error_of(const struct request *request)
{
	uint32_t error = reply_error(request->error);

	/* The specification knows it only as the answer to FAST_ZERO. */
	return error == NBD_ENOTSUP && !(request->driver.flags & PLATTER_REQ_FAST_ZERO) ? NBD_EIO : error;
}

/* A success, and any simple reply. */
static void put_result(struct request *request, uint32_t error)
{
	bool reads = request->driver.op == PLATTER_OP_READ;

	if (request->form == REPLY_SIMPLE || (request->form == REPLY_STRUCTURED && !reads))
		put_simple(request, error);
	else if (reads && request->driver.length)
		put_data(request);
	else
		put_chunk(request, NBD_REPLY_TYPE_NONE, 0);
	request->answer_length = request->header_length + (request->driver.iovcnt ? request->driver.length : 0);
}

void reply_build(struct request *request)
{
	uint32_t error;

	if (request->driver.op == PLATTER_OP_READ && request->error == 0 && has_holes(request)) {
		if (request->form != REPLY_SIMPLE && !request->unfragmented && put_contents(request, 0))
			return;
		request->error = fill_holes(request);
		/* An error has no data. */
		if (request->error)
			request->driver.iovcnt = 0;
	}
	error = error_of(request);
	if (!error || request->form == REPLY_SIMPLE)
		put_result(request, error);
	else if (!request->progress || !put_error_offset(request, error))
		put_error(request, error);
}
