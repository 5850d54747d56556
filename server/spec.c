/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/utf8.h"
#include "common/wire.h"
#include "server/block/access.h"
#include "server/block/args.h"
#include "server/block/driver.h"
#include "server/block/error.h"
#include "server/block/identity.h"
#include "server/block/registry.h"
#include "server/module/modprobe.h"

/* What is shown to clients and on terminals. */
static bool is_text(const char *text)
{
	return strlen(text) <= NBD_MAX_STRING && utf8_is_line(text);
}

static int set_name(struct spec *spec, char *name, struct platter_error *error)
{
	escape_remove(name);
	if (!*name)
		return platter_fail(error, EINVAL, "an export's name cannot be empty");
	if (!is_text(name))
		return platter_fail(error, EINVAL, "an export's name must be UTF-8 of at most %d bytes, without control characters",
				    NBD_MAX_STRING);
	spec->name = strdup(name);
	return spec->name ? 0 : platter_fail(error, ENOMEM, "no memory");
}

static int unknown_driver(const char *name, struct platter_error *error)
{
	struct list_head *node;
	char known[128] = "";

	registry_lock();
	list_for_each(node, driver_list()) {
		strncat(known, *known ? ", " : "", sizeof(known) - strlen(known) - 1);
		strncat(known, container_of(node, struct driver, link)->driver.name, sizeof(known) - strlen(known) - 1);
	}
	registry_unlock();
	return platter_fail(error, EINVAL, "unknown driver \"%s\" (there are: %s; a path starts with / or ./)", name, known);
}

/* A bare key means on. */
static int parse_bool(const char *key, const char *value, bool *ret, struct platter_error *error)
{
	*ret = true;
	if (value && !args_parse_bool(value, ret))
		return platter_fail(error, EINVAL, "%s=%s: write on or off", key, value);
	return 0;
}

static int parse_unaligned(const char *value, bool *emulates, struct platter_error *error)
{
	*emulates = value && strcmp(value, "emulate") == 0;
	if (!*emulates && (!value || strcmp(value, "refuse") != 0))
		return platter_fail(error, EINVAL, "unaligned=%s: write emulate or refuse", value ? value : "");
	return 0;
}

static int parse_uuid(const char *value, char **ret, struct platter_error *error)
{
	char uuid[IDENTITY_LENGTH + 1];

	if (*ret)
		return platter_fail(error, EINVAL, "uuid: given twice");
	if (!value || !identity_parse(uuid, value))
		return platter_fail(error, EINVAL, "uuid=%s: not a UUID; write one as uuidgen(1) prints it: 8-4-4-4-12 hexadecimal digits",
				    value ? value : "");
	*ret = strdup(uuid);
	return *ret ? 0 : platter_fail(error, ENOMEM, "no memory");
}

const char spec_queue_prefix[] = "queue.";

/* Keys of the export; all others are the driver's. */
static int set_key(struct spec *spec, const char *key, const char *value, struct platter_error *error)
{
	if (strcmp(key, "readonly") == 0)
		return parse_bool(key, value, &spec->read_only, error);
	if (strcmp(key, "tls") == 0)
		return parse_bool(key, value, &spec->tls, error);
	if (strcmp(key, "allow") == 0)
		return access_add(&spec->access, value ? value : "", error);
	if (strcmp(key, "description") == 0) {
		if (!value || spec->description)
			return platter_fail(error, EINVAL, "description: %s", value ? "given twice" : "a text is missing");
		if (!is_text(value))
			return platter_fail(error, EINVAL, "a description must be UTF-8 of at most %d bytes, without control characters",
					    NBD_MAX_STRING);
		spec->description = strdup(value);
		return spec->description ? 0 : platter_fail(error, ENOMEM, "no memory");
	}
	if (strcmp(key, "uuid") == 0)
		return parse_uuid(value, &spec->uuid, error);
	if (!spec->driver && spec->disk)
		return platter_fail(error, EINVAL,
				    "another export of a disk has no key \"%s\" (there are: readonly, tls, allow, description, uuid)",
				    key);
	if (strcmp(key, "export") == 0) {
		bool exported = true;
		int result = parse_bool(key, value, &exported, error);

		spec->unlisted = !exported;
		return result;
	}
	if (strcmp(key, "unaligned") == 0)
		return parse_unaligned(value, &spec->emulates, error);
	if (strcmp(key, "partitions") == 0)
		return parse_bool(key, value, &spec->partitions, error);
	if (strncmp(key, spec_queue_prefix, sizeof(spec_queue_prefix) - 1) == 0)
		return limits_set(&spec->limits, key + sizeof(spec_queue_prefix) - 1, value ? value : "", error);
	/* Only its module knows. */
	if (!spec->driver)
		return 0;
	return args_set(spec->args, spec->driver, key, value, error);
}

static int parse_key(struct spec *spec, char *text, struct platter_error *error)
{
	char *value = escape_cut(text, "=");

	if (!*text)
		return platter_fail(error, EINVAL, "a key is missing between commas or at the end");
	return set_key(spec, escape_remove(text), value ? escape_remove(value) : NULL, error);
}

static bool is_path(const char *text)
{
	return *text == '/' || *text == '.';
}

static int set_disk(struct spec *spec, char *name, struct platter_error *error)
{
	if (!name || !*name)
		return platter_fail(error, EINVAL, "disk: the name of a disk is missing, as in ro1=disk:disk0,readonly");
	if (!spec->name)
		return platter_fail(error, EINVAL, "disk:%s: another export of a disk needs a name, as in NAME=disk:%s", name, name);
	spec->disk = strdup(escape_remove(name));
	return spec->disk ? 0 : platter_fail(error, ENOMEM, "no memory");
}

/* A module may have it; then it is loaded, or, for a check, *FOUND says that it would be. */
static int get_driver(struct spec *spec, const char *name, bool *found, struct platter_error *error)
{
	int result;

	*found = false;
	spec->driver = driver_get(name);
	if (spec->driver)
		return 0;
	if (spec->checking)
		return modprobe_has_driver(name, found, error);
	result = modprobe_driver(name, found, error);
	if (result < 0)
		return result;
	spec->driver = driver_get(name);
	if (!spec->driver && *found)
		return platter_fail(error, EBUSY, "the driver \"%s\" cannot be used: its module is being unloaded, or registers none",
				    name);
	return 0;
}

/* DRIVER, DRIVER:ARG, DRIVER:KEY=VALUE, disk:NAME or a path. */
static int parse_source(struct spec *spec, char *source, struct platter_error *error)
{
	char *arg = NULL;
	bool in_module;
	int result;

	if (is_path(source)) {
		spec->driver = driver_get("file");
		return args_set(spec->args, spec->driver, NULL, escape_remove(source), error);
	}
	arg = escape_cut(source, ":");
	if (strcmp(source, "disk") == 0)
		return set_disk(spec, arg, error);
	result = get_driver(spec, escape_remove(source), &in_module, error);
	if (result < 0 || (spec->checking && in_module))
		return result;
	if (!spec->driver)
		return unknown_driver(source, error);
	if (!arg)
		return 0;
	if (*escape_find(arg, "="))
		return parse_key(spec, arg, error);
	return args_set(spec->args, spec->driver, NULL, escape_remove(arg), error);
}

static int parse(struct spec *spec, char *text, struct platter_error *error)
{
	char *rest = escape_cut(text, ",");
	char *first = escape_find(text, "=:");
	char *source = text;
	int result = 0;

	/* An equal sign before any colon ends a name; behind one it belongs to a key, in a path to the path. */
	if (*first == '=' && !is_path(text)) {
		*first = '\0';
		source = first + 1;
		result = set_name(spec, text, error);
	}
	if (result == 0)
		result = parse_source(spec, source, error);
	while (result == 0 && rest) {
		char *key = rest;

		rest = escape_cut(key, ",");
		result = parse_key(spec, key, error);
	}
	return result;
}

static int parse_copy(struct spec *spec, const char *text, bool checking, struct platter_error *error)
{
	char *copy = strdup(text);
	int result;

	*spec = (struct spec){ .args = args_new(), .checking = checking };
	limits_init(&spec->limits);
	if (!copy || !spec->args)
		result = platter_fail(error, ENOMEM, "no memory");
	else
		result = parse(spec, copy, error);
	free(copy);
	if (result < 0)
		spec_free(spec);
	return result;
}

int spec_parse(struct spec *spec, const char *text, struct platter_error *error)
{
	return parse_copy(spec, text, false, error);
}

int spec_check(struct spec *spec, const char *text, struct platter_error *error)
{
	return parse_copy(spec, text, true, error);
}

void spec_free(struct spec *spec)
{
	limits_destroy(&spec->limits);
	args_free(spec->args);
	driver_put(spec->driver);
	free(spec->disk);
	free(spec->name);
	free(spec->description);
	free(spec->uuid);
	access_put(spec->access);
	*spec = (struct spec){ .args = NULL };
}
