/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/nbd/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/nbd/work.h"

/* What base:allocation says of a range are PLATTER_EXTENT_*. */
#define KNOWN_KINDS (PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO)

_Static_assert(PLATTER_EXTENT_HOLE == LIBNBD_STATE_HOLE && PLATTER_EXTENT_ZERO == LIBNBD_STATE_ZERO, "the same bits");

/* Bytes of one question. */
#define MOST_EXTENTS (UINT64_C(1) << 30)

void command_free(struct job *job)
{
	free(job->bounce);
	job->bounce = NULL;
}

/* Between the segments and one piece. */
static void copy(const struct platter_request *request, char *piece, bool to_segments)
{
	for (uint32_t i = 0; i < request->iovcnt; i++) {
		const struct iovec *segment = &request->iov[i];

		if (to_segments)
			memcpy(segment->iov_base, piece, segment->iov_len);
		else
			memcpy(piece, segment->iov_base, segment->iov_len);
		piece += segment->iov_len;
	}
}

/* JOB's data in one piece; NULL when there is no memory. */
static void *piece_of(struct job *job)
{
	const struct platter_request *request = job->request;

	if (request->iovcnt == 1)
		return request->iov[0].iov_base;
	if (!job->bounce)
		job->bounce = malloc(request->length);
	if (job->bounce && request->op == PLATTER_OP_WRITE)
		copy(request, job->bounce, false);
	return job->bounce;
}

static bool is_flush(const struct job *job)
{
	return !job->request || job->done || job->request->op == PLATTER_OP_FLUSH;
}

/* A FLUSH was done: what it covers is durable. */
static void note_flushed(struct nbd_disk *disk, const struct job *job)
{
	pthread_mutex_lock(&disk->lock);
	if (job->covers > disk->flushed)
		disk->flushed = job->covers;
	pthread_mutex_unlock(&disk->lock);
}

/* It was done, but the server has no FUA. */
static bool wants_flush(const struct nbd_disk *disk, const struct job *job)
{
	return !is_flush(job) && (job->request->flags & PLATTER_REQ_FUA) && !disk->upstream.fua;
}

static int completed(void *user_data, int *error)
{
	struct job *job = user_data;
	struct connection *c = job->connection;

	/* It stays among the sent ones, which go elsewhere when the connection has ended. */
	c->over |= *error == ESHUTDOWN;
	if (*error == ENOTCONN || *error == ESHUTDOWN)
		return 1;
	c->useful = true;
	work_list_remove(&c->sent, job);
	if (*error == 0 && is_flush(job))
		note_flushed(c->disk, job);
	if (*error == 0 && wants_flush(c->disk, job)) {
		job->done = true;
		pthread_mutex_lock(&c->disk->lock);
		work_list_add(&c->queue, job);
		pthread_mutex_unlock(&c->disk->lock);
		return 1;
	}
	c->load--;
	if (*error == 0 && job->bounce && job->request->op == PLATTER_OP_READ)
		copy(job->request, job->bounce, true);
	work_end(c->disk, job, -*error);
	return 1;
}

static int told(void *user_data, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
	struct job *job = user_data;
	bool enough = false;

	(void)context;
	(void)offset;
	(void)error;
	/* Pairs of a length and a kind; only one context was asked for. */
	for (size_t i = 0; i + 1 < count && !enough; i += 2) {
		enough = platter_request_extent(job->request, entries[i], entries[i + 1] & KNOWN_KINDS);
		job->told = true;
	}
	return 0;
}

static uint32_t flags_of(const struct nbd_disk *disk, const struct platter_request *request)
{
	uint32_t flags = 0;

	flags |= (request->flags & PLATTER_REQ_FUA) && disk->upstream.fua ? LIBNBD_CMD_FLAG_FUA : 0;
	flags |= request->flags & PLATTER_REQ_NO_HOLE ? LIBNBD_CMD_FLAG_NO_HOLE : 0;
	flags |= request->flags & PLATTER_REQ_FAST_ZERO ? LIBNBD_CMD_FLAG_FAST_ZERO : 0;
	flags |= request->flags & PLATTER_REQ_ONE ? LIBNBD_CMD_FLAG_REQ_ONE : 0;
	return flags;
}

/* 0, or -errno when it isn't on its way. */
static int issue(struct connection *c, struct job *job)
{
	const nbd_completion_callback done = { .callback = completed, .user_data = job };
	const nbd_extent_callback extents = { .callback = told, .user_data = job };
	const struct platter_request *request = job->request;
	uint32_t flags = is_flush(job) ? 0 : flags_of(c->disk, request);
	int64_t cookie;
	void *piece;

	if (is_flush(job)) {
		job->covers = c->disk->changes;
		cookie = nbd_aio_flush(c->handle, done, 0);
		return cookie < 0 ? -nbd_get_errno() : 0;
	}
	switch (request->op) {
	case PLATTER_OP_READ:
	case PLATTER_OP_WRITE:
		piece = piece_of(job);
		if (!piece)
			return -ENOMEM;
		if (request->op == PLATTER_OP_READ)
			cookie = nbd_aio_pread(c->handle, piece, request->length, request->offset, done, 0);
		else
			cookie = nbd_aio_pwrite(c->handle, piece, request->length, request->offset, done, flags);
		break;
	case PLATTER_OP_TRIM:
		cookie = nbd_aio_trim(c->handle, request->length, request->offset, done, flags);
		break;
	case PLATTER_OP_ZEROES:
		if ((request->flags & PLATTER_REQ_FAST_ZERO) && !c->disk->upstream.fast_zero)
			return -ENOTSUP;
		cookie = nbd_aio_zero(c->handle, request->length, request->offset, done, flags);
		break;
	case PLATTER_OP_CACHE:
		/* A hint: its beginning will do. */
		cookie = nbd_aio_cache(c->handle, request->length < c->disk->upstream.most ? request->length : c->disk->upstream.most,
				       request->offset, done, 0);
		break;
	default: /* EXTENTS */
		cookie = nbd_aio_block_status(c->handle, request->length < MOST_EXTENTS ? request->length : MOST_EXTENTS,
					      request->offset, extents, done, flags);
	}
	return cookie < 0 ? -nbd_get_errno() : 0;
}

void command_send(struct connection *c, struct job *job)
{
	int result;

	/* It may be answered inside the call. */
	work_list_add(&c->sent, job);
	result = issue(c, job);
	/* What couldn't be sent because the connection has ended goes elsewhere with the others. */
	if (result == 0 || nbd_aio_is_dead(c->handle) || nbd_aio_is_closed(c->handle))
		return;
	work_list_remove(&c->sent, job);
	c->load--;
	work_end(c->disk, job, result);
}
