/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/size.h"
#include "server/block/error.h"

struct arg {
	struct arg *next;
	const char *key; /* the driver's string */
	uint64_t number; /* sizes, numbers, bools */
	char text[];
};

struct platter_args {
	struct arg *first;
};

struct args {
	struct platter_args driver_side;
};

struct args *args_new(void)
{
	return calloc(1, sizeof(struct args));
}

void args_free(struct args *args)
{
	if (!args)
		return;
	while (args->driver_side.first) {
		struct arg *arg = args->driver_side.first;

		args->driver_side.first = arg->next;
		free(arg);
	}
	free(args);
}

const struct platter_args *args_driver_side(const struct args *args)
{
	return &args->driver_side;
}

static const struct arg *find(const struct platter_args *args, const char *key)
{
	const struct arg *arg = args->first;

	while (arg && strcmp(arg->key, key) != 0)
		arg = arg->next;
	return arg;
}

bool args_parse_bool(const char *text, bool *ret)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = { { "on", true },   { "off", false }, { "yes", true }, { "no", false },
		      { "true", true }, { "false", false }, { "1", true },   { "0", false } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i].text) == 0) {
			*ret = words[i].value;
			return true;
		}
	}
	return false;
}

static int parse_value(const struct platter_key *key, const char *value, uint64_t *number, struct platter_error *error)
{
	bool on = true;
	char *end;
	int result;

	switch (key->type) {
	case PLATTER_KEY_STRING:
		return 0;
	case PLATTER_KEY_SIZE:
		result = size_parse(value, number);
		if (result == -ERANGE)
			return platter_fail(error, EINVAL, "%s=%s: more than 2^63-1 bytes, the most that a disk can have", key->name, value);
		if (result < 0)
			return platter_fail(error, EINVAL, "%s=%s: not a size; write bytes, or a number with K, M, G, T, P or E",
					    key->name, value);
		return 0;
	case PLATTER_KEY_BOOL:
		if (!args_parse_bool(value, &on))
			return platter_fail(error, EINVAL, "%s=%s: write on or off", key->name, value);
		*number = on;
		return 0;
	case PLATTER_KEY_NUMBER:
		errno = 0;
		*number = strtoull(value, &end, 10);
		if (*value < '0' || *value > '9' || *end || errno)
			return platter_fail(error, EINVAL, "%s=%s: not a number", key->name, value);
		return 0;
	}
	return platter_fail(error, EINVAL, "%s: the driver declares it with an unknown type", key->name);
}

static const struct platter_key *find_key(const struct platter_driver *driver, const char *name)
{
	for (const struct platter_key *key = driver->keys; key->name; key++)
		if (!name || strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

int args_set(struct args *args, const struct platter_driver *driver, const char *name, const char *value,
	     struct platter_error *error)
{
	const struct platter_key *key = find_key(driver, name);
	const char *text = value ? value : "";
	uint64_t number = 1; /* a bare key means on */
	struct arg *arg;
	int result = 0;

	if (!key)
		return platter_fail(error, EINVAL, "%s: the driver %s has no such key", name ? name : text, driver->name);
	if (!value && key->type != PLATTER_KEY_BOOL)
		return platter_fail(error, EINVAL, "%s: a value is missing (%s=...)", key->name, key->name);
	if (find(&args->driver_side, key->name))
		return platter_fail(error, EINVAL, "%s: given twice", key->name);
	if (value)
		result = parse_value(key, text, &number, error);
	if (result < 0)
		return result;
	arg = malloc(sizeof(*arg) + strlen(text) + 1);
	if (!arg)
		return platter_fail(error, ENOMEM, "no memory");
	arg->key = key->name;
	arg->number = number;
	strcpy(arg->text, text);
	arg->next = args->driver_side.first;
	args->driver_side.first = arg;
	return 0;
}

const char *platter_args_string(const struct platter_args *args, const char *key, const char *otherwise)
{
	const struct arg *arg = find(args, key);

	return arg ? arg->text : otherwise;
}

uint64_t platter_args_size(const struct platter_args *args, const char *key, uint64_t otherwise)
{
	const struct arg *arg = find(args, key);

	return arg ? arg->number : otherwise;
}

uint64_t platter_args_number(const struct platter_args *args, const char *key, uint64_t otherwise)
{
	return platter_args_size(args, key, otherwise);
}

bool platter_args_bool(const struct platter_args *args, const char *key, bool otherwise)
{
	return platter_args_size(args, key, otherwise) != 0;
}

int platter_fail(struct platter_error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code > 0 ? -code : code ? code : -EIO;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code > 0 ? -code : code ? code : -EIO;
}
