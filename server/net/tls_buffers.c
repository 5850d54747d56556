/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/tls_buffers.h"

#include <string.h>

void tls_buffers_destroy(struct tls_buffers *buffers)
{
	buffer_put(buffers->large);
	buffer_put(buffers->out);
}

void tls_buffers_detach(struct tls_buffers *buffers)
{
	if (buffers->large)
		buffer_detach(buffers->large);
	if (buffers->out)
		buffer_detach(buffers->out);
}

void tls_buffers_attach(struct tls_buffers *buffers, struct buffers *home)
{
	buffers->buffers = home;
	if (buffers->large)
		buffer_attach(buffers->large, home);
	if (buffers->out)
		buffer_attach(buffers->out, home);
}

/* --- Received */

static uint8_t *memory(struct tls_buffers *buffers)
{
	return buffers->large ? buffers->large->memory : buffers->small;
}

uint8_t *tls_buffers_received(struct tls_buffers *buffers)
{
	return memory(buffers) + buffers->start;
}

size_t tls_buffers_length(const struct tls_buffers *buffers)
{
	return buffers->end - buffers->start;
}

void *tls_buffers_room(struct tls_buffers *buffers, size_t need, size_t *size)
{
	const uint8_t *rest = tls_buffers_received(buffers);
	size_t length = tls_buffers_length(buffers);

	if (buffers->large && length == 0 && buffers->last <= TLS_SMALL / 2) {
		buffer_put(buffers->large);
		buffers->large = NULL;
	} else if (!buffers->large && (buffers->end == TLS_SMALL || need > TLS_SMALL)) {
		/* Who fills the small one has more to send. */
		buffers->large = buffer_get(buffers->buffers, BUFFER_SEGMENT);
		if (!buffers->large)
			return NULL;
	}
	if (length)
		memmove(memory(buffers), rest, length);
	buffers->start = 0;
	buffers->end = length;
	*size = (buffers->large ? buffer_class_size(buffers->large->class) : TLS_SMALL) - length;
	return memory(buffers) + length;
}

void tls_buffers_drop(struct tls_buffers *buffers)
{
	buffer_put(buffers->large);
	buffers->large = NULL;
	buffers->start = buffers->end = 0;
}

/* --- To be sent */

void tls_buffers_need_out(struct tls_buffers *buffers, enum buffer_class class)
{
	if (buffers->out && buffers->length == 0 && buffers->out->class < class) {
		buffer_put(buffers->out);
		buffers->out = NULL;
	}
	if (!buffers->out)
		buffers->out = buffer_get(buffers->buffers, class);
}

size_t tls_buffers_out_room(const struct tls_buffers *buffers)
{
	return buffers->out ? buffer_class_size(buffers->out->class) - buffers->length : 0;
}

uint8_t *tls_buffers_out(struct tls_buffers *buffers)
{
	return buffers->out->memory + buffers->length;
}

void tls_buffers_put_empty_out(struct tls_buffers *buffers)
{
	if (buffers->length)
		return;
	buffer_put(buffers->out);
	buffers->out = NULL;
}

void tls_buffers_sent(struct tls_buffers *buffers, size_t bytes)
{
	buffers->sent += bytes;
	if (buffers->sent < buffers->length)
		return;
	buffer_put(buffers->out);
	buffers->out = NULL;
	buffers->sent = buffers->length = 0;
}
