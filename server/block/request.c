/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/log.h"
#include "server/block/block.h"
#include "server/block/extents.h"
#include "server/block/queue.h"
#include "server/block/software_queue.h"

struct request *request_get(struct block *block)
{
	struct request *request = block->free_requests;

	if (request) {
		block->free_requests = request->next;
		block->free_request_count--;
		if (block->free_request_count < block->unused_requests)
			block->unused_requests = block->free_request_count;
	} else {
		request = aligned_alloc(64, round_up(sizeof(*request), 64));
		if (!request)
			return NULL;
		list_init(&request->link);
		list_init(&request->change);
		list_init(&request->wait);
		list_init(&request->members);
		list_init(&request->waiters);
		request->block = block;
		block->allocations++;
	}
	request->driver.iov = request->inline_segments;
	request->driver.iovcnt = 0;
	request->driver.context = 0;
	request->capacity = REQUEST_INLINE_SEGMENTS;
	request->queue = NULL;
	request->error = 0;
	request->buffers = NULL;
	request->input = NULL;
	request->extents = NULL;
	request->reserved = 0;
	request->issued = 0;
	request->submitted = 0;
	request->from = NULL;
	request->side = SOFTWARE_ALL;
	request->mergeable = false;
	request->sparse = false;
	request->progress = 0;
	request->edges = 0;
	request->unread = false;
	request->run = NULL;
	request->whole = NULL;
	request->with_driver = false;
	return request;
}

void request_release_data(struct request *request)
{
	while (request->buffers) {
		struct buffer *buffer = request->buffers;

		request->buffers = buffer->next;
		buffer_put(buffer);
	}
	buffer_put(request->input);
	request->input = NULL;
	/* The segments may have been in one of these buffers. */
	request->driver.iov = request->inline_segments;
	request->driver.iovcnt = 0;
	request->capacity = REQUEST_INLINE_SEGMENTS;
	if (request->reserved)
		budget_release(&request->block->budget, request->reserved);
	request->reserved = 0;
}

void request_put(struct request *request)
{
	struct block *block;

	if (!request)
		return;
	block = request->block;
	request_release_data(request);
	if (request->extents)
		extents_free(request->extents);
	request->next = block->free_requests;
	block->free_requests = request;
	block->free_request_count++;
}

static struct buffer *request_add_buffer(struct request *request, enum buffer_class class)
{
	struct buffer *buffer = buffer_get(&request->block->buffers, class);

	if (buffer) {
		buffer->next = request->buffers;
		request->buffers = buffer;
	}
	return buffer;
}

/* The smallest that holds BYTES; for more the largest, of which it takes several. */
static enum buffer_class class_for(uint64_t bytes)
{
	return bytes <= BUFFER_SMALL_SIZE ? BUFFER_SMALL : bytes <= BUFFER_MEDIUM_SIZE ? BUFFER_MEDIUM : BUFFER_SEGMENT;
}

uint64_t request_footprint(uint64_t length)
{
	uint64_t tail = length % BUFFER_SEGMENT_SIZE;

	return length - tail + (tail ? buffer_class_size(class_for(tail)) : 0);
}

void *request_get_memory(struct request *request, uint64_t bytes)
{
	struct buffer *buffer = bytes <= BUFFER_SEGMENT_SIZE ? request_add_buffer(request, class_for(bytes)) : NULL;

	return buffer ? buffer->memory : NULL;
}

int request_reserve_segments(struct request *request, unsigned count)
{
	size_t bytes = count * sizeof(struct iovec);
	struct iovec *segments;

	if (count <= request->capacity)
		return 0;
	if (bytes > BUFFER_SEGMENT_SIZE)
		return -EINVAL;
	segments = request_get_memory(request, bytes);
	if (!segments)
		return -ENOMEM;
	request->driver.iov = segments;
	request->capacity = buffer_class_size(class_for(bytes)) / sizeof(struct iovec);
	return 0;
}

int request_grow_segments(struct request *request)
{
	const struct iovec *segments = request->driver.iov;
	int result = request_reserve_segments(request, 2 * request->capacity);

	/* Where they were stays the request's until its end. */
	if (result == 0)
		memcpy(request->driver.iov, segments, request->driver.iovcnt * sizeof(*segments));
	return result;
}

void request_cut(struct request *request, uint64_t length)
{
	unsigned i = 0;

	while (i < request->driver.iovcnt && length >= request->driver.iov[i].iov_len)
		length -= request->driver.iov[i++].iov_len;
	if (length)
		request->driver.iov[i++].iov_len = length;
	request->driver.iovcnt = i;
}

uint64_t request_segments_length(const struct request *request)
{
	uint64_t length = 0;

	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		length += request->driver.iov[i].iov_len;
	return length;
}

static int request_add_segment(struct request *request, uint64_t missing)
{
	struct buffer *buffer = request_add_buffer(request, class_for(missing));
	uint32_t size = buffer_class_size(class_for(missing));

	if (!buffer)
		return -ENOMEM;
	request->driver.iov[request->driver.iovcnt++] = (struct iovec){
		.iov_base = buffer->memory,
		.iov_len = missing < size ? missing : size,
	};
	return 0;
}

int request_extend(struct request *request)
{
	return request_add_segment(request, request->driver.length - request_segments_length(request));
}

int request_allocate(struct request *request)
{
	uint64_t length = request->driver.length;
	int result = request_reserve_segments(request, (unsigned)(round_up(length, BUFFER_SEGMENT_SIZE) / BUFFER_SEGMENT_SIZE));

	for (uint64_t at = 0; result == 0 && at < length; at += BUFFER_SEGMENT_SIZE)
		result = request_add_segment(request, length - at);
	return result;
}

void request_borrow(struct request *request, struct buffer *input, uint8_t *data)
{
	input->users++;
	request->input = input;
	request->driver.iov[0] = (struct iovec){ data, request->driver.length };
	request->driver.iovcnt = 1;
}

void platter_request_complete(struct platter_request *driver_side, int error)
{
	struct request *request = request_of(driver_side);
	struct block *home = request->block;
	struct request *head;

	/* Of several threads that complete it, one does. */
	if (!__atomic_exchange_n(&request->with_driver, false, __ATOMIC_ACQ_REL)) {
		log_ratelimited(ERROR, "a driver has completed a request twice, or one that it hasn't got; that is ignored");
		return;
	}
	request->error = error > 0 ? -error : error;
	if (home == block_self()) {
		queue_complete(request);
		return;
	}
	head = atomic_load_explicit(&home->remote, memory_order_relaxed);
	do {
		request->next = head;
	} while (!atomic_compare_exchange_weak(&home->remote, &head, request));
	if (!head)
		home->wake(home);
}

void platter_request_progress(struct platter_request *driver_side, uint64_t bytes)
{
	request_of(driver_side)->progress = bytes < driver_side->length ? bytes : 0;
}

bool platter_request_extent(struct platter_request *driver_side, uint64_t length, uint32_t kind)
{
	struct extents *extents = request_of(driver_side)->extents;

	return !extents || extents_add(extents, length, kind);
}

int platter_request_lend(struct platter_request *driver_side, const void *memory, size_t length)
{
	struct request *request = request_of(driver_side);

	if (length == 0)
		return 0;
	if (length > driver_side->length)
		return -EINVAL;
	if (driver_side->iovcnt == request->capacity && request_grow_segments(request) < 0)
		return -ENOBUFS;
	driver_side->iov[driver_side->iovcnt++] = (struct iovec){ (void *)(uintptr_t)memory, length };
	return 0;
}
