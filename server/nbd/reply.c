/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/reply.h"

#include <errno.h>

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

void reply_build(struct request *request)
{
	uint32_t error = reply_error(request->error);

	/* The specification knows it only as the answer to FAST_ZERO. */
	if (error == NBD_ENOTSUP && !(request->driver.flags & PLATTER_REQ_FAST_ZERO))
		error = NBD_EIO;
	put_be32(request->header, NBD_SIMPLE_REPLY_MAGIC);
	put_be32(request->header + 4, error);
	put_be64(request->header + 8, request->cookie);
}
