/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/reply.h"

#include <errno.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/request.h"

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

/* The only chunk of a reply; PAYLOAD bytes follow its header. */
static void put_chunk(struct request *request, uint16_t type, uint64_t payload)
{
	put_be32(request->header, NBD_STRUCTURED_REPLY_MAGIC);
	put_be16(request->header + 4, NBD_REPLY_FLAG_DONE);
	put_be16(request->header + 6, type);
	put_be64(request->header + 8, request->cookie);
	put_be32(request->header + 16, (uint32_t)payload);
	request->header_length = NBD_CHUNK_HEADER_SIZE;
}

/* What precedes the data or text of a chunk goes with its header. */
#define OFFSET_SIZE 8 /* of NBD_REPLY_TYPE_OFFSET_DATA: where the data begins */
#define ERROR_SIZE 6  /* of NBD_REPLY_TYPE_ERROR: the error, the text's length */

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

static void put_data(struct request *request)
{
	put_chunk(request, NBD_REPLY_TYPE_OFFSET_DATA, OFFSET_SIZE + request->driver.length);
	put_be64(request->header + NBD_CHUNK_HEADER_SIZE, request->driver.offset);
	request->header_length += OFFSET_SIZE;
}

void reply_build(struct request *request, bool structured)
{
	bool reads = request->driver.op == PLATTER_OP_READ;
	uint32_t error = reply_error(request->error);

	/* The specification knows it only as the answer to FAST_ZERO. */
	if (error == NBD_ENOTSUP && !(request->driver.flags & PLATTER_REQ_FAST_ZERO))
		error = NBD_EIO;
	if (structured && error) {
		put_error(request, error);
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
