/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/modname.h"

#include <ctype.h>
#include <fnmatch.h>
#include <string.h>

static const char suffix[] = ".so";

static char same_letter(char c)
{
	return c == '-' ? '_' : c;
}

bool modname_equal_length(const char *a, const char *b, size_t length)
{
	size_t i = 0;

	while (i < length && a[i] && same_letter(a[i]) == same_letter(b[i]))
		i++;
	return i == length && !a[i];
}

bool modname_equal(const char *a, const char *b)
{
	return modname_equal_length(a, b, strlen(b));
}

static bool is_name_letter(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

bool modname_valid(const char *name)
{
	const char *at = name;

	while (is_name_letter(*at))
		at++;
	return at > name && !*at;
}

char *modname_underscores(char *name)
{
	for (char *at = name; *at; at++)
		*at = same_letter(*at);
	return name;
}

bool modname_pattern(char *pattern)
{
	bool bracket = false;

	for (; *pattern; pattern++) {
		if (*pattern == '[')
			bracket = true;
		else if (*pattern == ']')
			bracket = false;
		else if (!bracket)
			*pattern = same_letter(*pattern);
	}
	return !bracket;
}

bool modname_matches(const char *pattern, const char *name)
{
	char copy[256];

	if (strlen(name) >= sizeof(copy))
		return false;
	return fnmatch(pattern, modname_underscores(strcpy(copy, name)), 0) == 0;
}

/* The name within PATH and its length; false when PATH doesn't end in NAME.so. */
static bool find_name(const char *path, const char **name, size_t *length)
{
	const char *slash = strrchr(path, '/');
	size_t all;

	*name = slash ? slash + 1 : path;
	all = strlen(*name);
	if (all < sizeof(suffix) || strcmp(*name + all - (sizeof(suffix) - 1), suffix) != 0)
		return false;
	*length = all - (sizeof(suffix) - 1);
	return true;
}

bool modname_is_path(const char *path)
{
	const char *at = path, *name;
	size_t length;

	for (; *at; at += *at == '/') {
		/* A component: not empty, nor hidden, which "." and ".." are, too. */
		if (*at == '/' || *at == '.')
			return false;
		for (; *at && *at != '/'; at++)
			if ((unsigned char)*at <= ' ' || strchr(":\"\\#\x7f", *at))
				return false;
	}
	if (!find_name(path, &name, &length))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_name_letter(name[i]))
			return false;
	return true;
}

char *modname_of_path(const char *path)
{
	const char *name;
	size_t length;
	char *copy;

	if (!find_name(path, &name, &length))
		return NULL;
	copy = strndup(name, length);
	return copy ? modname_underscores(copy) : NULL;
}

bool modname_is_of_path(const char *name, const char *path)
{
	const char *start;
	size_t length;

	return find_name(path, &start, &length) && modname_equal_length(name, start, length);
}
