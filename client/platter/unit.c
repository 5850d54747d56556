/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Those that a name has as they are; a dot may not begin it. */
static bool is_plain(char letter, bool first)
{
	return (letter >= '0' && letter <= '9') || ((letter | 32) >= 'a' && (letter | 32) <= 'z') || letter == ':' || letter == '_' ||
	       (letter == '.' && !first);
}

int unit_of_path(char *text, size_t size, const char *prefix, const char *path, const char *suffix)
{
	size_t used = (size_t)snprintf(text, size, "%s", prefix);

	path += *path == '/';
	for (const char *at = path; *at && used < size; at++) {
		if (*at == '/')
			used += (size_t)snprintf(text + used, size - used, "-");
		else if (is_plain(*at, at == path))
			used += (size_t)snprintf(text + used, size - used, "%c", *at);
		else
			used += (size_t)snprintf(text + used, size - used, "\\x%02x", (unsigned char)*at);
	}
	if (used < size)
		used += (size_t)snprintf(text + used, size - used, ".%s", suffix);
	return used < size ? 0 : -ENAMETOOLONG;
}
