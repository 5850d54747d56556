/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/input.h"

#include <errno.h>
#include <string.h>

#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/request.h"
#include "server/net/conn.h"
#include "server/reactor.h"

/*
 * A receive takes at most this much beyond what is needed: the batch stays in
 * the core's cache, and the client can go on with its answers while the next
 * one is worked on.  For a disk that wants aligned memory, and so has a device
 * behind it, less: the device works on the first eight writes of 4 KiB while
 * the next ones are received and copied.
 */
#define MOST_AHEAD (64u << 10)
#define MOST_AHEAD_OF_DEVICE (34u << 10)
/*
 * So much of a payload that has memory of its own is received straight into
 * it.  Less is copied, for what follows it comes with the same receive.
 */
#define LEAST_DIRECT (16u << 10)
/* A large buffer with less room than this behind its data is changed for another, if it can't be emptied. */
#define LEAST_ROOM (64u << 10)

uint8_t *input_bytes(struct input *input)
{
	return (input->large ? input->large->memory : input->small) + input->start;
}

size_t input_length(const struct input *input)
{
	return input->end - input->start;
}

void input_used(struct input *input, size_t bytes)
{
	input->start += bytes;
}

static size_t capacity(const struct input *input)
{
	return input->large ? BUFFER_INPUT_SIZE : INPUT_SMALL_SIZE;
}

void input_release(struct input *input)
{
	buffer_put(input->large);
	input->large = NULL;
	input->start = input->end = 0;
}

/* Puts the bytes into a fresh large buffer; requests that borrowed from the old one keep it. */
static int change_buffer(struct input *input, struct buffers *buffers)
{
	struct buffer *fresh = buffer_get(buffers, BUFFER_INPUT);
	size_t length = input_length(input);

	if (!fresh)
		return -ENOMEM;
	memcpy(fresh->memory, input_bytes(input), length);
	input_release(input);
	input->large = fresh;
	input->end = length;
	return 0;
}

/* Makes room for NEED bytes in one piece from the first unused one on. */
static int make_room(struct input *input, size_t need, struct buffers *buffers)
{
	size_t length = input_length(input);

	/* Nothing there and little came lately, so that little is to be expected: back to the small buffer. */
	if (input->large && length == 0 && need <= INPUT_SMALL_SIZE && input->lately <= INPUT_SMALL_SIZE / 2)
		input_release(input);
	/* More came than a small buffer holds. */
	if (!input->large && (need > INPUT_SMALL_SIZE || input->last == INPUT_SMALL_SIZE))
		return change_buffer(input, buffers);
	if (input->large && input->large->users > 1) {
		size_t wanted = need > LEAST_ROOM ? need : LEAST_ROOM;

		return capacity(input) - input->start < wanted ? change_buffer(input, buffers) : 0;
	}
	if (length == 0) {
		input->start = input->end = 0;
	} else if (capacity(input) - input->start < need || input->end == capacity(input)) {
		uint8_t *first = input_bytes(input) - input->start;

		memmove(first, first + input->start, length);
		input->start = 0;
		input->end = length;
	}
	return 0;
}

/*
 * Where the next payload bytes go: the free part of the request's own segments,
 * which are taken as the bytes come.  Returns how many input->segments are set; -ENOMEM.
 */
static int payload_space(struct input *input, struct request *request)
{
	uint64_t at = input->received;
	int count = 0;

	while (count < INPUT_SEGMENTS && at < request->driver.length) {
		uint64_t inside = at % BUFFER_SEGMENT_SIZE;
		const struct iovec *segment;

		if (at / BUFFER_SEGMENT_SIZE == request->driver.iovcnt && request_extend(request) < 0)
			return count ? count : -ENOMEM;
		segment = &request->driver.iov[at / BUFFER_SEGMENT_SIZE];
		input->segments[count++] = (struct iovec){ (uint8_t *)segment->iov_base + inside, segment->iov_len - inside };
		at += segment->iov_len - inside;
	}
	return count;
}

/* Copies what is here already into own segments. */
static int copy_payload(struct input *input, struct request *request)
{
	uint64_t length = request->driver.length;
	int result = 0;

	if (request->driver.iovcnt == 0)
		result = request_reserve_segments(request, (unsigned)(length / BUFFER_SEGMENT_SIZE + 1));
	while (result >= 0 && input->received < length && input_length(input)) {
		result = payload_space(input, request);
		for (int i = 0; i < result; i++) {
			size_t bytes = input->segments[i].iov_len;

			if (bytes > input_length(input))
				bytes = input_length(input);
			memcpy(input->segments[i].iov_base, input_bytes(input), bytes);
			input_used(input, bytes);
			input->received += bytes;
		}
	}
	return result < 0 ? result : 0;
}

bool input_payload(struct input *input, struct request *request, unsigned alignment, int *error)
{
	uint64_t length = request->driver.length;
	bool in_place = length <= INPUT_IN_PLACE && alignment == 1;
	bool here = input_length(input) >= length;

	*error = 0;
	if (in_place && !here)
		return false;
	if (in_place && input->large) {
		request_borrow(request, input->large, input_bytes(input));
		input_used(input, length);
		return true;
	}
	*error = copy_payload(input, request);
	if (*error < 0 || input->received < length)
		return false;
	input->received = 0;
	return true;
}

static size_t most_ahead(const struct nbd_session *session)
{
	bool device = session->export && session->export->disk->geometry.memory_alignment > 1;

	return device ? MOST_AHEAD_OF_DEVICE : MOST_AHEAD;
}

int input_receive(struct conn *conn, size_t need, struct request *payload)
{
	struct input *input = &conn->input;
	struct engine *engine = conn->reactor->engine;
	int result;

	if (payload && payload->driver.iovcnt && payload->driver.length - input->received >= LEAST_DIRECT) {
		result = payload_space(input, payload);
		if (result < 0)
			return result;
		input->direct = true;
		input->targets = (unsigned)result;
		input->asked = 0;
		for (int i = 0; i < result; i++)
			input->asked += input->segments[i].iov_len;
	} else {
		result = make_room(input, need, &conn->reactor->block.buffers);
		if (result < 0)
			return result;
		input->direct = false;
		input->asked = capacity(input) - input->end;
		if (input->asked > need + most_ahead(&conn->session))
			input->asked = need + most_ahead(&conn->session);
		input->segments[0] = (struct iovec){ input_bytes(input) + input_length(input), input->asked };
		input->targets = 1;
	}
	/* Who says goodbye reads only to see the end. */
	if (conn_is_sealed(conn) && !conn->lingering)
		return conn_receive_sealed(conn);
	if (input->direct)
		engine_recvv(engine, &conn->recv_op, conn->fd, input->segments, input->targets);
	else
		engine_recv(engine, &conn->recv_op, conn->fd, input->segments[0].iov_base, input->segments[0].iov_len);
	conn_op_started(conn, CONN_RECV);
	return 0;
}

void input_received(struct input *input, size_t bytes)
{
	input->last = bytes;
	input->lately = bytes > input->lately / 2 ? bytes : input->lately / 2;
	if (input->direct)
		input->received += bytes;
	else
		input->end += bytes;
}
