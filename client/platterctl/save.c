/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platterctl/save.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/platterctl/call.h"
#include "common/log.h"
#include "server/block/error.h"
#include "server/definition.h"
#include "server/module/text_file.h"

/* Where drop-ins lie; of the process. */
static char directory[PATH_MAX];

int save_begin(void)
{
	json_t *result = NULL;
	const char *path;
	int status = call_method("version", NULL, &result);

	if (status != CALL_OK)
		return status;
	path = json_string_value(json_object_get(result, "configuration"));
	if (!path || (size_t)snprintf(directory, sizeof(directory), "%s.d", path) >= sizeof(directory)) {
		log_error("--save: %s", path ? "the path of platterd's configuration is too long" :
					       "platterd was started with --config=none");
		status = CALL_REFUSED;
	}
	json_decref(result);
	return status;
}

/* The name of NAME's file, in which other characters than these are written as %XX; false: it would be too long. */
static bool file_name(const char *name, char *file, size_t size)
{
	size_t used = (size_t)snprintf(file, size, "export-");

	for (; *name && used < size; name++) {
		bool plain = isalnum((unsigned char)*name) || strchr("-_.", *name);

		used += (size_t)snprintf(file + used, size - used, plain ? "%c" : "%%%02X", (unsigned char)*name);
	}
	if (used < size)
		used += (size_t)snprintf(file + used, size - used, ".conf");
	return used < size;
}

/* Whether TEXT is read again as it is: lines have no end in them, and no blanks around them; " ;" begins a comment. */
static bool is_plain(const char *text)
{
	size_t length = strlen(text);

	return !length || (length < LINE_MAX && !strpbrk(text, "\r\n") && !strstr(text, " ;") && !strstr(text, "\t;") &&
			   !isspace((unsigned char)text[0]) && !isspace((unsigned char)text[length - 1]) && text[0] != ';');
}

static bool can_be_written(const struct definition *definition)
{
	struct list_head *node;

	if (!is_plain(definition->name) || !is_plain(definition->source))
		return false;
	list_for_each(node, &definition->keys)
		if (!is_plain(container_of(node, struct definition_key, link)->value))
			return false;
	return true;
}

static void write_export(FILE *file, const void *data)
{
	const struct definition *definition = data;
	struct list_head *node;

	fputs("# Written by platterctl export add --save; platterctl export remove --save takes it away.\n", file);
	fprintf(file, "[export %s]\nsource = %s\n", definition->name, definition->source);
	list_for_each(node, &definition->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		fprintf(file, "%s = %s\n", key->name, key->value);
	}
}

static int write_file(const char *file, const struct definition *definition)
{
	struct platter_error error = { "" };

	if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
		log_error("%s is exported, but not saved: %s: %s", definition->name, directory, strerror(errno));
		return CALL_REFUSED;
	}
	if (text_file_write(directory, file, write_export, definition, &error) == 0)
		return CALL_OK;
	log_error("%s is exported, but not saved: %s", definition->name, error.text);
	return CALL_REFUSED;
}

int save_export(const char *name, const char *spec)
{
	struct definition *definition = definition_parse(spec);
	int status = CALL_REFUSED;
	char file[NAME_MAX + 1];

	if (definition && !definition->name)
		definition->name = strdup(name);
	if (!definition || !definition->name)
		log_error("%s is exported, but not saved: no memory", name);
	else if (!file_name(name, file, sizeof(file)))
		log_error("%s is exported, but not saved: the name is too long for a file's", name);
	else if (!can_be_written(definition))
		log_error("%s is exported, but not saved: platterd.conf(5) has no way to write blanks at an end, line ends and \" ;\"",
			  name);
	else
		status = write_file(file, definition);
	definition_free(definition);
	return status;
}

int save_forget(const char *name)
{
	char file[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 2];

	if (!file_name(name, file, sizeof(file)))
		return CALL_OK;
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	if (unlink(path) == 0)
		return CALL_OK;
	if (errno == ENOENT)
		log_error("%s is removed, but %s isn't there: if another file has it, it comes back when that is read", name, path);
	else
		log_error("%s is removed, but comes back when the configuration is read: %s: %s", name, path, strerror(errno));
	return CALL_REFUSED;
}
