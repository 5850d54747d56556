/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/queue_fixture.h"

#include <stdio.h>
#include <string.h>

static struct software_queue connections[2];
struct request *requests[FAKE_MOST];
unsigned count;

struct queue *queue_of(struct fake *fake)
{
	return &fake->disk->queues[0];
}

void set(struct fake *fake, const char *name, const char *value)
{
	struct platter_error error = { "" };

	assert_int_equal(limits_set(&fake->disk->limits, name, value, &error), 0);
}

struct fake *new_with(const char *scheduler)
{
	struct fake *fake = fake_new();

	count = 0;
	for (unsigned i = 0; i < 2; i++)
		software_queue_init(&connections[i]);
	set(fake, "scheduler", scheduler);
	return fake;
}

struct request *add_from(struct fake *fake, unsigned connection, enum platter_op op, uint64_t offset, uint64_t length,
				uint16_t flags)
{
	struct request *request = fake_request(fake, op, offset, length);

	assert_in_range(count, 0, FAKE_MOST - 1);
	requests[count++] = request;
	request->driver.flags = flags;
	request->from = &connections[connection];
	if (op == PLATTER_OP_READ || op == PLATTER_OP_WRITE)
		assert_int_equal(request_allocate(request), 0);
	/* Every block has its own content. */
	if (op == PLATTER_OP_WRITE)
		memset(request->driver.iov[0].iov_base, (int)('a' + offset / 512), request->driver.iov[0].iov_len);
	queue_add(queue_of(fake), request);
	return request;
}

struct request *add(struct fake *fake, enum platter_op op, uint64_t offset, uint64_t length, uint16_t flags)
{
	return add_from(fake, 0, op, offset, length, flags);
}

void complete_all(struct fake *fake, int result)
{
	while (fake->count) {
		fake_complete(fake, 0, result);
		fake_dispatch(fake);
	}
}

void end(struct fake *fake)
{
	assert_int_equal(fake_ended, count);
	assert_int_equal(queue_of(fake)->waiting, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(connections[i].open, 0);
		for (unsigned side = 0; side < SOFTWARE_SIDES; side++)
			assert_int_equal(connections[i].side[side].places, 0);
	}
	for (unsigned i = 0; i < count; i++)
		request_put(requests[i]);
	fake_free(fake);
}

void assert_driver_has(const struct fake *fake, const char *expected)
{
	static const char names[] = "RWFTZC";
	char text[1024] = "";
	size_t length = 0;

	for (unsigned i = 0; i < fake->count; i++) {
		const struct platter_request *request = fake->submitted[i];

		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%c%ju+%ju%s", i ? " " : "", names[request->op],
					   (uintmax_t)request->offset / 512, (uintmax_t)request->length / 512,
					   request->flags & PLATTER_REQ_FUA ? "!" : "");
	}
	assert_string_equal(text, expected);
}
