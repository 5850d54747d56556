/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/alias.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistr.h>

#include "client/platter/uri.h"

/* How many bytes at TEXT udev leaves as they are; 0: none. */
static size_t plain(const char *text)
{
	unsigned char byte = (unsigned char)*text;
	int length;

	if (byte < 0x80)
		return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || strchr("#+-.:=@_", byte);
	length = u8_mblen((const uint8_t *)text, strlen(text));
	return length > 0 ? (size_t)length : 0;
}

/* Behind the USED bytes that TEXT has; how many it would have with it. */
static size_t append(char *text, size_t used, const char *more)
{
	while (*more && used < ALIAS_SIZE) {
		size_t room = ALIAS_SIZE - used, length = plain(more);

		if (length)
			used += (size_t)snprintf(text + used, room, "%.*s", (int)length, more);
		else
			used += (size_t)snprintf(text + used, room, "\\x%02x", (unsigned char)*more);
		more += length ? length : 1;
	}
	return used;
}

int alias_by_path(char *text, const struct uri *uri)
{
	const char *const parts[] = { "nbd-", uri->host ? uri->host : "unix", ":", uri->port ? uri->port : "", "-", uri->export };
	size_t used = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		used = append(text, used, parts[i]);
	return used < ALIAS_SIZE ? 0 : -ENAMETOOLONG;
}
