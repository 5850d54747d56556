/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/split.h"

#include "common/checked.h"
#include "server/block/request.h"

/* The segment that holds the byte at *OFFSET, which becomes the offset within it. */
static unsigned segment_at(const struct request *request, uint64_t *offset)
{
	unsigned i = 0;

	while (i < request->driver.iovcnt && *offset >= request->driver.iov[i].iov_len)
		*offset -= request->driver.iov[i++].iov_len;
	return i;
}

/* Bytes in the next MOST segments from where the request has come to. */
static uint64_t segments_length(const struct request *request, unsigned most)
{
	uint64_t inside = request->issued;
	unsigned i = segment_at(request, &inside);
	uint64_t length = 0;

	for (; i < request->driver.iovcnt && most; i++, most--)
		length += request->driver.iov[i].iov_len;
	return length > inside ? length - inside : 0;
}

uint64_t split_limit(unsigned op, const struct platter_geometry *geometry)
{
	switch (op) {
	case PLATTER_OP_READ:
		return geometry->capabilities & PLATTER_DISK_LENDS ? 0 : geometry->max_request;
	case PLATTER_OP_WRITE:
		return geometry->max_request;
	case PLATTER_OP_ZEROES:
		return geometry->max_zeroes;
	case PLATTER_OP_TRIM:
	case PLATTER_OP_CACHE:
		return geometry->max_trim;
	default:
		return 0;
	}
}

uint64_t split_length(const struct request *request, const struct platter_geometry *geometry)
{
	uint64_t left = request->driver.length - request->issued;
	uint64_t most = split_limit(request->driver.op, geometry);

	/* Parts end at multiples of the limit: what the driver gives back in larger units isn't cut up. */
	if (most && request->driver.op != PLATTER_OP_READ && request->driver.op != PLATTER_OP_WRITE)
		most -= (request->driver.offset + request->issued) % most;
	/* Only READ and WRITE have segments; one that is to be lent has none yet. */
	if (request->driver.iovcnt > geometry->max_segments) {
		uint64_t fits = round_down(segments_length(request, geometry->max_segments), geometry->min_block);

		most = most && most < fits ? most : fits;
	}
	return most && most < left ? most : left;
}

static int part_segments(struct request *part, const struct request *whole)
{
	uint64_t inside = whole->issued;
	unsigned first = segment_at(whole, &inside);
	uint64_t left = part->driver.length;
	int result;

	result = request_reserve_segments(part, whole->driver.iovcnt - first);
	for (unsigned i = first; result == 0 && left; i++) {
		const struct iovec *segment = &whole->driver.iov[i];
		uint64_t length = segment->iov_len - inside;

		length = length < left ? length : left;
		part->driver.iov[part->driver.iovcnt++] = (struct iovec){ (char *)segment->iov_base + inside, length };
		left -= length;
		inside = 0;
	}
	return result;
}

struct request *split_part(struct request *whole, uint64_t length)
{
	struct request *part = request_get(whole->block);

	if (!part)
		return NULL;
	part->driver.op = whole->driver.op;
	part->driver.flags = whole->driver.flags;
	part->driver.disk = whole->driver.disk;
	part->driver.offset = whole->driver.offset + whole->issued;
	part->driver.length = length;
	part->queue = whole->queue;
	part->from = whole->from;
	part->side = whole->side;
	part->whole = whole;
	part->sync = whole->sync;
	if (whole->driver.iovcnt && part_segments(part, whole) < 0) {
		request_put(part);
		return NULL;
	}
	return part;
}
