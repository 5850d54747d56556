/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/sparse.h"

#include <string.h>

#include "common/checked.h"
#include "server/block/disk.h"
#include "server/block/extents.h"
#include "server/block/queue.h"
#include "server/block/request.h"

/* Extents of one request; what is behind them is read. */
#define MOST_EXTENTS 256
/* So much of a disk is asked for at once: where all of it is data, what follows needn't ask. */
#define LOOK_AHEAD (UINT64_C(1) << 30)
/* From so many looks in vain on, one read after each doesn't look, then two, four, and so on... */
#define FEW_VAIN 4
/* ...up to 64. */
#define MOST_VAIN (FEW_VAIN + 6)

bool sparse_wanted(struct queue *queue, const struct request *request)
{
	const struct platter_geometry *geometry = &queue->disk->geometry;
	uint64_t start = request->driver.offset, end = start + request->driver.length;

	if (!(geometry->capabilities & PLATTER_DISK_EXTENTS) || (geometry->capabilities & PLATTER_DISK_LENDS) ||
	    request->driver.length < SPARSE_LEAST || (start >= queue->sparse.data && end <= queue->sparse.data_end))
		return false;
	if (queue->sparse.pass == 0)
		return true;
	queue->sparse.pass--;
	return false;
}

/* What is read ends, in the disk and in memory, at multiples of it. */
static uint32_t boundary(const struct disk *disk)
{
	const struct platter_geometry *geometry = &disk->geometry;

	return geometry->memory_alignment > geometry->min_block ? geometry->memory_alignment : geometry->min_block;
}

struct request *sparse_look(struct request *request)
{
	uint64_t left = disk_capacity(request->queue->disk) - request->driver.offset;
	uint64_t length = left < LOOK_AHEAD ? left : LOOK_AHEAD;
	struct request *look = request_get(request->block);

	/* The disk may have shrunk. */
	if (length < request->driver.length || left > INT64_MAX)
		length = request->driver.length;
	if (!look)
		return NULL;
	look->extents = extents_new(length, boundary(request->queue->disk), MOST_EXTENTS);
	if (!look->extents) {
		request_put(look);
		return NULL;
	}
	look->extents->ahead = length - request->driver.length;
	look->driver.op = PLATTER_OP_EXTENTS;
	look->driver.flags = 0;
	look->driver.disk = request->driver.disk;
	look->driver.offset = request->driver.offset;
	look->driver.length = length;
	look->queue = request->queue;
	look->from = request->from;
	look->side = request->side;
	look->whole = request;
	look->sync = false;
	return look;
}

static bool is_hole(const struct extent *extent)
{
	return extent->kind & PLATTER_EXTENT_ZERO;
}

static bool has_hole(const struct request *request)
{
	const struct extents *extents = request->extents;
	uint64_t at = 0;

	for (unsigned i = 0; i < extents->count && at < request->driver.length; at += extents->list[i++].length)
		if (is_hole(&extents->list[i]))
			return true;
	return false;
}

/* What was found out for the reads that follow. */
static void learn(struct sparse *sparse, const struct request *request)
{
	const struct extents *extents = request->extents;
	uint64_t at = request->driver.offset;

	if (!extents->count)
		return;
	for (unsigned i = 0; i + 1 < extents->count; i++)
		at += extents->list[i].length;
	if (!is_hole(&extents->list[extents->count - 1])) {
		sparse->data = at;
		sparse->data_end = at + extents->list[extents->count - 1].length;
	}
	if (has_hole(request))
		sparse->vain = 0;
	else if (sparse->vain < MOST_VAIN)
		sparse->vain++;
	sparse->pass = sparse->vain < FEW_VAIN ? 0 : 1u << (sparse->vain - FEW_VAIN);
}

void sparse_looked(struct request *whole, struct request *look)
{
	if (look->error == 0) {
		whole->extents = look->extents;
		look->extents = NULL;
		learn(&whole->queue->sparse, whole);
		if (has_hole(whole)) {
			sparse_skip(whole);
			return;
		}
		extents_free(whole->extents);
		whole->extents = NULL;
	}
	whole->sparse = false;
}

/* The extent at AT, which becomes how far it reaches from there; NULL: nothing was told of that, it is data. */
static const struct extent *extent_at(const struct extents *extents, uint64_t *at)
{
	for (unsigned i = 0; i < extents->count; i++) {
		if (*at < extents->list[i].length) {
			*at = extents->list[i].length - *at;
			return &extents->list[i];
		}
		*at -= extents->list[i].length;
	}
	return NULL;
}

uint64_t sparse_length(const struct request *request, uint64_t length)
{
	uint64_t reach = request->issued;
	const struct extent *extent = extent_at(request->extents, &reach);

	return extent && reach < length ? reach : length;
}

void sparse_skip(struct request *request)
{
	uint64_t reach = request->issued, left = request->driver.length - request->issued;
	const struct extent *extent = extent_at(request->extents, &reach);

	/* Two in a row are none of them: neighbours are of different kinds, of which both may be zeroes. */
	while (left && extent && is_hole(extent)) {
		request->issued += reach < left ? reach : left;
		left = request->driver.length - request->issued;
		reach = request->issued;
		extent = extent_at(request->extents, &reach);
	}
}

/* Where REQUEST's data lies, cut up where its extents end. */
struct pieces {
	const struct request *request;
	unsigned segment;
	uint64_t inside; /* of that segment */
	uint64_t at;     /* of the request */
};

/* The next one: false, there is none. */
static bool next_piece(struct pieces *pieces, struct iovec *piece)
{
	const struct iovec *segment = &pieces->request->driver.iov[pieces->segment];
	uint64_t reach = pieces->at, length;
	const struct extent *extent;

	if (pieces->at == pieces->request->driver.length)
		return false;
	length = segment->iov_len - pieces->inside;
	extent = extent_at(pieces->request->extents, &reach);
	if (extent && reach < length)
		length = reach;
	*piece = (struct iovec){ (char *)segment->iov_base + pieces->inside, length };
	pieces->at += length;
	pieces->inside += length;
	if (pieces->inside == segment->iov_len) {
		pieces->segment++;
		pieces->inside = 0;
	}
	return true;
}

/* Without memory for more segments the holes are filled. */
static void fill_holes(struct request *request)
{
	struct pieces pieces = { .request = request };
	struct iovec piece;

	for (uint64_t at = 0; next_piece(&pieces, &piece); at = pieces.at) {
		uint64_t reach = at;
		const struct extent *extent = extent_at(request->extents, &reach);

		if (extent && is_hole(extent))
			memset(piece.iov_base, 0, piece.iov_len);
	}
}

void sparse_finish(struct request *request)
{
	/* An extent's end, or a segment's, ends each of them. */
	uint64_t most = (uint64_t)request->driver.iovcnt + request->extents->count;
	struct iovec *to = request_get_memory(request, most * sizeof(*to));
	struct pieces pieces = { .request = request };
	unsigned count = 0;
	struct iovec piece;

	if (!to) {
		fill_holes(request);
		return;
	}
	for (uint64_t at = 0; next_piece(&pieces, &piece); at = pieces.at) {
		uint64_t reach = at;
		const struct extent *extent = extent_at(request->extents, &reach);

		to[count++] = (struct iovec){ extent && is_hole(extent) ? NULL : piece.iov_base, piece.iov_len };
	}
	request->driver.iov = to;
	request->driver.iovcnt = count;
	request->capacity = count;
}
