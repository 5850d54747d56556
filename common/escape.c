/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/escape.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

char *escape_find(char *text, const char *stops)
{
	for (; *text && !strchr(stops, *text); text++)
		if (*text == '\\' && text[1])
			text++;
	return text;
}

char *escape_remove(char *text)
{
	char *to = text;

	for (const char *from = text; *from; *to++ = *from++)
		if (*from == '\\' && from[1])
			from++;
	*to = '\0';
	return text;
}

char *escape_cut(char *text, const char *stops)
{
	char *at = escape_find(text, stops);

	if (!*at)
		return NULL;
	*at = '\0';
	return at + 1;
}

char *escape_add(const char *text)
{
	char *copy = malloc(2 * strlen(text) + 1);
	char *to = copy;

	if (!copy)
		return NULL;
	for (; *text; text++) {
		if (strchr(",:=\\", *text))
			*to++ = '\\';
		*to++ = *text;
	}
	*to = '\0';
	return copy;
}
