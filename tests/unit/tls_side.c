/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/tls_side.h"

#include "tests/unit/unit.h"

void side_take_over(struct side *side, struct end *end, size_t most)
{
	memset(side, 0, sizeof(*side));
	assert_int_equal(tls_channel_init(&side->channel, &end->watch, most), 0);
}

void side_receive(struct side *side, const void *bytes, size_t length)
{
	memmove(side->received, side->received + side->start, side->end - side->start);
	side->end -= side->start;
	side->start = 0;
	assert_true(length <= sizeof(side->received) - side->end);
	memcpy(side->received + side->end, bytes, length);
	side->end += length;
}

int64_t side_read_into(struct side *side, const struct iovec *iov, unsigned count)
{
	uint8_t *received = side->received + side->start;
	size_t used;
	int64_t result = tls_channel_read(&side->channel, received, side->end - side->start, &used, iov, count);

	side->start += used;
	assert_true(side->start <= side->end);
	if (tls_channel_has_answer(&side->channel))
		side->made += tls_channel_answer(&side->channel, side->sent + side->made);
	return result;
}

int64_t side_read(struct side *side, void *to, size_t size)
{
	const struct iovec iov = { to, size };

	return side_read_into(side, &iov, 1);
}

void side_write(struct side *side, const void *bytes, size_t length)
{
	const struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct tls_place place = { &piece, 0 };
	size_t made, room = sizeof(side->sent) - side->made;

	assert_int_equal(tls_channel_write(&side->channel, &place, length, side->sent + side->made, room, &made), length);
	side->made += made;
}

void side_send_to(struct side *side, struct end *end)
{
	if (side->made)
		assert_int_equal(BIO_write(SSL_get_rbio(end->ssl), side->sent, (int)side->made), side->made);
	side->made = 0;
}

void side_receive_from(struct side *side, struct end *end)
{
	uint8_t bytes[20000];
	int length;

	while ((length = BIO_read(SSL_get_wbio(end->ssl), bytes, sizeof(bytes))) > 0)
		side_receive(side, bytes, (size_t)length);
}

void side_assert_heard(struct end *end, const char *text)
{
	char heard[64] = "";

	assert_int_equal(SSL_read(end->ssl, heard, sizeof(heard)), strlen(text));
	assert_string_equal(heard, text);
}
