/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/buffer.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

uint32_t buffer_class_size(enum buffer_class class)
{
	static const uint32_t sizes[BUFFER_CLASSES] = {
		[BUFFER_SMALL] = BUFFER_SMALL_SIZE,
		[BUFFER_MEDIUM] = BUFFER_MEDIUM_SIZE,
		[BUFFER_SEGMENT] = BUFFER_SEGMENT_SIZE,
		[BUFFER_INPUT] = BUFFER_INPUT_SIZE,
	};

	return sizes[class];
}

static struct buffer *buffer_new(struct buffers *buffers, enum buffer_class class)
{
	struct buffer *buffer = malloc(sizeof(*buffer));
	uint32_t size = buffer_class_size(class);

	if (!buffer)
		return NULL;
	buffer->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer->memory == MAP_FAILED) {
		free(buffer);
		return NULL;
	}
	buffer->class = class;
	buffer->home = buffers;
	buffers->bytes += size;
	return buffer;
}

static void buffer_delete(struct buffer *buffer)
{
	uint32_t size = buffer_class_size(buffer->class);

	munmap(buffer->memory, size);
	buffer->home->bytes -= size;
	free(buffer);
}

struct buffer *buffer_get(struct buffers *buffers, enum buffer_class class)
{
	struct buffer *buffer = buffers->class[class].free;

	if (buffer) {
		buffers->class[class].free = buffer->next;
		if (--buffers->class[class].count < buffers->class[class].unused)
			buffers->class[class].unused = buffers->class[class].count;
	} else {
		buffer = buffer_new(buffers, class);
		if (!buffer)
			return NULL;
	}
	buffer->users = 1;
	buffer->next = NULL;
	return buffer;
}

void buffer_put(struct buffer *buffer)
{
	struct buffers *buffers;

	if (!buffer || --buffer->users)
		return;
	/* Last in, first out: the next user finds it in the cache. */
	buffers = buffer->home;
	buffer->next = buffers->class[buffer->class].free;
	buffers->class[buffer->class].free = buffer;
	buffers->class[buffer->class].count++;
}

void buffer_detach(struct buffer *buffer)
{
	buffer->home->bytes -= buffer_class_size(buffer->class);
	buffer->home = NULL;
}

void buffer_attach(struct buffer *buffer, struct buffers *home)
{
	buffer->home = home;
	home->bytes += buffer_class_size(buffer->class);
}

void buffers_trim(struct buffers *buffers)
{
	for (int class = 0; class < BUFFER_CLASSES; class++) {
		for (; buffers->class[class].unused; buffers->class[class].unused--) {
			struct buffer *buffer = buffers->class[class].free;

			buffers->class[class].free = buffer->next;
			buffers->class[class].count--;
			buffer_delete(buffer);
		}
		buffers->class[class].unused = buffers->class[class].count;
	}
}

void buffers_destroy(struct buffers *buffers)
{
	for (int class = 0; class < BUFFER_CLASSES; class++)
		buffers->class[class].unused = buffers->class[class].count;
	buffers_trim(buffers);
}
