/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's handshake, and the bytes that a server says to it. */
#ifndef UNIT_SERVER_WORDS_H
#define UNIT_SERVER_WORDS_H

#include <stdlib.h>

#include "client/platter/handshake.h"
#include "tests/unit/unit.h"

static struct handshake handshake;

/* What the server sends. */
static struct bytes {
	uint8_t data[128 << 10];
	size_t length;
} said;

static inline uint8_t *say(size_t length)
{
	uint8_t *at = said.data + said.length;

	assert_true(said.length + length <= sizeof(said.data));
	said.length += length;
	return at;
}

static inline void say_greeting(uint16_t flags)
{
	uint8_t *at = say(NBD_GREETING_SIZE);

	put_be64(at, NBD_MAGIC);
	put_be64(at + 8, NBD_OPTS_MAGIC);
	put_be16(at + 16, flags);
}

static inline void say_reply(uint32_t option, uint32_t type, const void *data, size_t length)
{
	uint8_t *at = say(NBD_OPTION_REPLY_SIZE + length);

	put_be64(at, NBD_REP_MAGIC);
	put_be32(at + 8, option);
	put_be32(at + 12, type);
	put_be32(at + 16, (uint32_t)length);
	if (length)
		memcpy(at + 20, data, length);
}

static inline void say_text(uint32_t option, uint32_t type, const char *text)
{
	say_reply(option, type, text, strlen(text));
}

static inline void say_export(uint32_t option, uint64_t size, uint16_t flags)
{
	uint8_t data[12];

	put_be16(data, NBD_INFO_EXPORT);
	put_be64(data + 2, size);
	put_be16(data + 10, flags);
	say_reply(option, NBD_REP_INFO, data, sizeof(data));
}

static inline void say_blocks(uint32_t option, uint32_t minimum, uint32_t preferred, uint32_t maximum)
{
	uint8_t data[14];

	put_be16(data, NBD_INFO_BLOCK_SIZE);
	put_be32(data + 2, minimum);
	put_be32(data + 6, preferred);
	put_be32(data + 10, maximum);
	say_reply(option, NBD_REP_INFO, data, sizeof(data));
}

static inline void say_string(uint32_t option, uint16_t type, const char *text, size_t length)
{
	uint8_t data[2 + 5000];

	put_be16(data, type);
	memcpy(data + 2, text, length);
	say_reply(option, NBD_REP_INFO, data, 2 + length);
}

static inline void say_listed(const char *name, const char *description)
{
	uint8_t data[9000];
	size_t length = strlen(name);

	put_be32(data, (uint32_t)length);
	memcpy(data + 4, name, length);
	memcpy(data + 4 + length, description, strlen(description));
	say_reply(NBD_OPT_LIST, NBD_REP_SERVER, data, 4 + length + strlen(description));
}

static inline void say_by_name(uint64_t size, uint16_t flags, bool zeroes)
{
	uint8_t *at = say(10 + (zeroes ? NBD_EXPORT_NAME_ZEROES : 0));

	memset(at, 0, zeroes ? 10 + NBD_EXPORT_NAME_ZEROES : 10);
	put_be64(at, size);
	put_be16(at + 8, flags);
}

#define BOTH (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)

static inline void begin(enum handshake_goal goal, const char *name, bool tls)
{
	handshake_free(&handshake);
	handshake_init(&handshake, goal, name, tls);
	said.length = 0;
	say_greeting(BOTH);
}

/* All of it in one piece; of exactly its size, for the sanitizer. */
static inline size_t feed(void)
{
	uint8_t *bytes = malloc(said.length);
	size_t used;

	memcpy(bytes, said.data, said.length);
	used = handshake_feed(&handshake, bytes, said.length);
	free(bytes);
	assert_true(used <= said.length);
	said.length = 0;
	return used;
}

static inline void assert_failed(enum status status, const char *text)
{
	assert_int_equal(handshake.state, HANDSHAKE_FAILED);
	assert_says(handshake.problem.text, text);
	assert_int_equal(handshake.problem.status, status);
}

#endif
