/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/unaligned.h"

#include <errno.h>
#include <string.h>

#include "common/checked.h"
#include "server/block/disk.h"
#include "server/block/extents.h"
#include "server/block/request.h"

/* Bits of request->edges: blocks that are still to be read. */
#define EDGE_FIRST (1u << 0)
#define EDGE_LAST (1u << 1)

bool unaligned_concerns(const struct disk *disk, uint64_t offset, uint64_t length)
{
	return (offset | length) & (disk->geometry.min_block - 1);
}

uint64_t unaligned_footprint(const struct disk *disk, uint64_t length)
{
	uint64_t block = disk->geometry.min_block;

	/* Aligned, and the blocks at the edges by themselves; without data, these twice. */
	return (length ? request_footprint(length + 2 * block) : 2 * request_footprint(block)) + 2 * request_footprint(block);
}

/* Copies between a flat range of REQUEST's data, from byte AT on, and BYTES; segments at NULL are zeroes. */
static void copy_out(const struct request *request, uint64_t at, uint8_t *bytes, uint64_t length)
{
	for (unsigned i = 0; i < request->driver.iovcnt && length; i++) {
		const struct iovec *segment = &request->driver.iov[i];
		uint64_t size;

		if (at >= segment->iov_len) {
			at -= segment->iov_len;
			continue;
		}
		size = segment->iov_len - at < length ? segment->iov_len - at : length;
		if (segment->iov_base)
			memcpy(bytes, (const uint8_t *)segment->iov_base + at, size);
		else
			memset(bytes, 0, size);
		bytes += size;
		length -= size;
		at = 0;
	}
}

/* LENGTH bytes of FROM's data, from byte SOURCE on, go to byte TARGET of TO's. */
static void copy(struct request *to, uint64_t target, const struct request *from, uint64_t source, uint64_t length)
{
	for (unsigned i = 0; i < to->driver.iovcnt && length; i++) {
		struct iovec *segment = &to->driver.iov[i];
		uint64_t size;

		if (target >= segment->iov_len) {
			target -= segment->iov_len;
			continue;
		}
		size = segment->iov_len - target < length ? segment->iov_len - target : length;
		copy_out(from, source, (uint8_t *)segment->iov_base + target, size);
		source += size;
		length -= size;
		target = 0;
	}
}

static void end_piece(struct request *whole, int error)
{
	if (error && !whole->error)
		whole->error = error;
	if (--whole->pieces == 0)
		whole->done(whole);
}

/* The extents of PIECE, which begins and ends at blocks, become those of WHOLE, which has START bytes fewer in front. */
static void take_extents(struct request *whole, struct request *piece, uint64_t start)
{
	struct extents *extents = piece->extents;
	uint64_t left = whole->driver.length;

	extents->list[0].length -= start;
	for (unsigned i = 0; i < extents->count; i++) {
		if (extents->list[i].length >= left) {
			extents->list[i].length = left;
			extents->count = i + 1;
		}
		left -= extents->list[i].length;
	}
	/* Behind it is what the disk told before. */
	piece->extents = whole->extents;
	extents->next = piece->extents->next;
	piece->extents->next = NULL;
	whole->extents = extents;
}

static void piece_done(struct request *piece)
{
	struct request *whole = piece->owner;
	int error = piece->error;
	uint64_t start = piece->position;

	if (error == 0 && piece->driver.op == PLATTER_OP_READ)
		copy(whole, 0, piece, start, whole->driver.length);
	else if (error == 0 && piece->driver.op == PLATTER_OP_EXTENTS)
		take_extents(whole, piece, start);
	request_put(piece);
	end_piece(whole, error);
}

/* A request for LENGTH bytes from OFFSET on, which are blocks, on behalf of WHOLE; NULL: no memory, which WHOLE learns. */
static struct request *new_piece(struct request *whole, enum platter_op op, uint64_t offset, uint64_t length)
{
	struct request *piece = request_get(whole->block);

	if (!piece) {
		whole->error = -ENOMEM;
		return NULL;
	}
	whole->pieces++;
	piece->done = piece_done;
	/* Whose client has gone doesn't take one of several: what has begun is done whole. */
	piece->owner = whole;
	piece->from = whole->from;
	piece->driver.op = (uint16_t)op;
	piece->driver.flags = whole->driver.flags;
	piece->driver.context = whole->driver.context;
	piece->driver.offset = offset;
	piece->driver.length = length;
	/* Where WHOLE's first byte is in it. */
	piece->position = whole->driver.offset > offset ? whole->driver.offset - offset : 0;
	return piece;
}

static void submit(struct disk *disk, struct request *piece, int result)
{
	if (result == 0) {
		disk_submit(disk, piece->block, piece);
		return;
	}
	piece->error = result;
	piece_done(piece);
}

static uint64_t first_block(const struct disk *disk, const struct request *request)
{
	return round_down(request->driver.offset, disk->geometry.min_block);
}

/* Behind the last. */
static uint64_t last_block(const struct disk *disk, const struct request *request)
{
	return round_up(request->driver.offset + request->driver.length, disk->geometry.min_block);
}

/* READ, CACHE, EXTENTS: of all blocks that it touches. */
static void submit_wider(struct disk *disk, struct request *whole)
{
	uint64_t start = first_block(disk, whole), end = last_block(disk, whole);
	struct request *piece = new_piece(whole, whole->driver.op, start, end - start);
	bool lends = disk->geometry.capabilities & PLATTER_DISK_LENDS;
	int result = 0;

	if (!piece)
		return;
	if (whole->driver.op == PLATTER_OP_EXTENTS) {
		piece->extents = extents_new(end - start, disk->geometry.min_block, whole->extents->most);
		result = piece->extents ? 0 : -ENOMEM;
	} else if (whole->driver.op == PLATTER_OP_READ) {
		result = lends ? request_reserve_segments(piece, (unsigned)(piece->driver.length / BUFFER_SEGMENT_SIZE + 2)) :
				 request_allocate(piece);
		/* There was none for what would have been lent. */
		if (result == 0 && lends)
			result = request_allocate(whole);
	}
	submit(disk, piece, result);
}

/* The blocks of a WRITE of WHOLE's bytes from OFFSET to END, whose content is DATA's, or zeroes. */
static void submit_write(struct disk *disk, struct request *whole, uint64_t offset, uint64_t end, const struct request *data)
{
	uint64_t mask = disk->geometry.min_block - 1;
	uint64_t start = offset & ~mask;
	struct request *piece = new_piece(whole, PLATTER_OP_WRITE, start, ((end + mask) & ~mask) - start);
	int result;

	if (!piece)
		return;
	piece->driver.flags &= PLATTER_REQ_FUA;
	piece->change_start = offset - start;
	piece->change_end = end - start;
	piece->edges = (offset & mask ? EDGE_FIRST : 0) | (end & mask ? EDGE_LAST : 0);
	/* One block is read once. */
	if (piece->driver.length == disk->geometry.min_block && piece->edges)
		piece->edges = EDGE_FIRST;
	result = request_allocate(piece);
	if (result == 0 && data)
		copy(piece, offset - start, data, 0, end - offset);
	for (unsigned i = 0; result == 0 && !data && i < piece->driver.iovcnt; i++)
		memset(piece->driver.iov[i].iov_base, 0, piece->driver.iov[i].iov_len);
	submit(disk, piece, result);
}

/* Only whole blocks: a client can't expect more of a hint. */
static void submit_trim(struct disk *disk, struct request *whole)
{
	uint64_t start = round_up(whole->driver.offset, disk->geometry.min_block);
	uint64_t end = round_down(whole->driver.offset + whole->driver.length, disk->geometry.min_block);
	struct request *piece = start < end ? new_piece(whole, PLATTER_OP_TRIM, start, end - start) : NULL;

	if (piece)
		submit(disk, piece, 0);
}

/* The blocks inside are zeroed, those at the edges written. */
static void submit_zeroes(struct disk *disk, struct request *whole)
{
	uint64_t start = whole->driver.offset, end = start + whole->driver.length;
	uint64_t inner = round_up(start, disk->geometry.min_block), inner_end = round_down(end, disk->geometry.min_block);
	struct request *piece;

	/* Reading and writing blocks isn't faster than writing. */
	if (whole->driver.flags & PLATTER_REQ_FAST_ZERO) {
		whole->error = -ENOTSUP;
		return;
	}
	if (inner >= inner_end) {
		submit_write(disk, whole, start, end, NULL);
		return;
	}
	if (start < inner)
		submit_write(disk, whole, start, inner, NULL);
	piece = new_piece(whole, PLATTER_OP_ZEROES, inner, inner_end - inner);
	if (piece)
		submit(disk, piece, 0);
	if (inner_end < end)
		submit_write(disk, whole, inner_end, end, NULL);
}

void unaligned_submit(struct disk *disk, struct block *block, struct request *whole)
{
	uint64_t offset = whole->driver.offset;

	whole->block = block;
	/* It ends when all its pieces have, and not before all of them are there. */
	whole->pieces = 1;
	switch (whole->driver.op) {
	case PLATTER_OP_WRITE:
		submit_write(disk, whole, offset, offset + whole->driver.length, whole);
		break;
	case PLATTER_OP_TRIM:
		submit_trim(disk, whole);
		break;
	case PLATTER_OP_ZEROES:
		submit_zeroes(disk, whole);
		break;
	default:
		submit_wider(disk, whole);
	}
	end_piece(whole, 0);
}

struct request *unaligned_edge(struct request *whole)
{
	const struct platter_geometry *geometry = &whole->queue->disk->geometry;
	struct request *edge = request_get(whole->block);
	bool first = whole->edges & EDGE_FIRST;
	int result;

	if (!edge)
		return NULL;
	edge->driver.op = PLATTER_OP_READ;
	edge->driver.flags = 0;
	edge->driver.disk = whole->driver.disk;
	edge->driver.length = geometry->min_block;
	edge->driver.offset = whole->driver.offset + (first ? 0 : whole->driver.length - geometry->min_block);
	edge->queue = whole->queue;
	edge->from = whole->from;
	edge->side = whole->side;
	edge->whole = whole;
	edge->sync = false;
	whole->edges &= first ? ~EDGE_FIRST : ~EDGE_LAST;
	/* Who lends has room for some segments. */
	result = geometry->capabilities & PLATTER_DISK_LENDS ? 0 : request_allocate(edge);
	if (result < 0) {
		request_put(edge);
		return NULL;
	}
	return edge;
}

void unaligned_edge_read(struct request *whole, const struct request *edge)
{
	uint64_t at = edge->driver.offset - whole->driver.offset, end = at + edge->driver.length;

	if (at < whole->change_start)
		copy(whole, at, edge, 0, whole->change_start - at);
	if (end > whole->change_end)
		copy(whole, whole->change_end, edge, whole->change_end - at, end - whole->change_end);
}
