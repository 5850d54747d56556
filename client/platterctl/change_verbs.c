/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that change the running server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/platterctl/call.h"
#include "client/platterctl/save.h"
#include "client/table.h"
#include "client/platterctl/verb.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/size.h"

/* A path that begins with a dot is meant from here, not from where the server runs.  The caller frees it; NULL: no memory. */
static char *absolute(const char *spec)
{
	char *copy = strdup(spec);
	/* As in the server's spec.c: an equal sign before anything else ends a name, but in a path. */
	const char *end = copy ? escape_find(copy, "=:,") : NULL;
	const char *path = copy && *end == '=' && *copy != '/' && *copy != '.' ? end + 1 : copy;
	char *here, *escaped, *result = NULL;

	if (!copy || *path != '.')
		return copy;
	here = getcwd(NULL, 0);
	escaped = here ? escape_add(here) : NULL;
	if (escaped && asprintf(&result, "%.*s%s/%s", (int)(path - copy), copy, escaped, path) < 0)
		result = NULL;
	free(copy);
	free(escaped);
	free(here);
	return result;
}

/* One spec; the name that the server chose is news. */
static int add_one(const char *spec, bool save)
{
	char *text = absolute(spec);
	json_t *params = text ? json_pack("{s:s}", "spec", text) : NULL;
	json_t *result = NULL;
	const char *name;
	int status;

	if (!params) {
		free(text);
		return verb_usage("export add: %s: not UTF-8, or no memory", spec);
	}
	status = call_method("export.add", params, &result);
	name = json_string_value(json_object_get(result, "name"));
	if (status == CALL_OK && name && !verb_json)
		puts(name);
	if (status == CALL_OK && save)
		status = name ? save_export(name, text) :
				verb_usage("export add: %s: a disk that isn't exported isn't saved", spec);
	free(text);
	verb_print(result, NULL);
	return status;
}

static int export_add(int argc, char **argv, bool save)
{
	int status = save ? save_begin() : CALL_OK;

	if (argc < 2)
		return verb_usage("export add: what? for example vm1=/srv/vm1.img,readonly or ram:1G");
	for (int i = 1; i < argc && status == CALL_OK; i++)
		status = verb_ended_at(add_one(argv[i], save), argv[i], i + 1 == argc);
	return status;
}

static int export_remove(int argc, char **argv, bool save)
{
	int status = save ? save_begin() : CALL_OK;

	if (status == CALL_OK)
		status = verb_remove(argc, argv, "export remove", "export.remove", save ? save_forget : NULL);
	return status;
}

/* Takes --save out of ARGV. */
static bool take_save(int *argc, char **argv)
{
	bool found = false;
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--save") == 0)
			found = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	*argc = kept;
	return found;
}

static int export_resize(int argc, char **argv)
{
	json_t *result = NULL;
	uint64_t bytes;
	int status;

	if (argc != 3)
		return verb_usage("export resize: write NAME SIZE");
	status = size_parse(argv[2], &bytes);
	if (status < 0)
		return verb_usage("export resize: %s: %s", argv[2], status == -ERANGE ? "more than 2^63-1 bytes" : "not a size");
	status = call_method("disk.resize", json_pack("{s:s, s:I}", "disk", argv[1], "size", (json_int_t)bytes), &result);
	verb_print(result, NULL);
	return status;
}

static int export(int argc, char **argv)
{
	bool save = take_save(&argc, argv);

	if (argc > 1 && strcmp(argv[1], "add") == 0)
		return export_add(argc - 1, argv + 1, save);
	if (argc > 1 && strcmp(argv[1], "remove") == 0)
		return export_remove(argc - 1, argv + 1, save);
	if (argc > 1 && strcmp(argv[1], "resize") == 0 && !save)
		return export_resize(argc - 1, argv + 1);
	return verb_usage(save ? "export: --save is for add and remove" : "export: write add, remove or resize");
}

static int check(int argc, char **argv)
{
	json_t *result = NULL;
	int status;

	if (argc != 2)
		return verb_usage("check: write DISK");
	status = call_method("disk.check", json_pack("{s:s}", "disk", argv[1]), &result);
	if (status == CALL_OK && !verb_json) {
		if (json_is_true(json_object_get(result, "media_changed")))
			puts("the medium has changed");
		printf("%" JSON_INTEGER_FORMAT " bytes%s\n", json_integer_value(json_object_get(result, "size")),
		       json_is_true(json_object_get(result, "resized")) ? ", another size than before" : "");
	}
	verb_print(result, NULL);
	return status;
}

/* What the disk's driver offers. */
static int list_commands(const char *disk)
{
	json_t *result = NULL;
	const json_t *command;
	struct table *table;
	size_t i;
	int status = call_method("disk.commands", json_pack("{s:s}", "disk", disk), &result);

	if (status == CALL_OK && !verb_json) {
		table = table_new("COMMAND ARGUMENTS HELP");
		json_array_foreach(json_object_get(result, "commands"), i, command) {
			table_add(table, "%s", json_string_value(json_object_get(command, "name")));
			table_add(table, "%s", json_string_value(json_object_get(command, "arguments")));
			table_add(table, "%s", json_string_value(json_object_get(command, "help")));
		}
		table_print(table);
	}
	verb_print(result, NULL);
	return status;
}

static int ioctl(int argc, char **argv)
{
	json_t *result = NULL, *arguments;
	int status;

	if (argc < 2)
		return verb_usage("ioctl: write DISK [COMMAND [ARGUMENT...]]");
	if (argc == 2)
		return list_commands(argv[1]);
	arguments = json_array();
	for (int i = 3; i < argc; i++)
		json_array_append_new(arguments, json_string(argv[i]));
	status = call_method("disk.ioctl", json_pack("{s:s, s:s, s:o}", "disk", argv[1], "command", argv[2], "args", arguments),
			     &result);
	if (status == CALL_OK && !verb_json)
		fputs(json_string_value(json_object_get(result, "text")), stdout);
	verb_print(result, NULL);
	return status;
}

static int reload_tls(int argc, char **argv)
{
	json_t *result = NULL;
	int status;

	(void)argv;
	if (argc != 1)
		return verb_usage("reload-tls takes no arguments");
	status = call_method("tls.reload", NULL, &result);
	verb_print(result, NULL);
	return status;
}

/* A line for each of what the server did; what it couldn't do is an error. */
static int print_reload(const json_t *result)
{
	static const char *const kinds[] = { "added", "changed", "removed", "leaving" };
	const json_t *one;
	size_t index;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		json_array_foreach(json_object_get(result, kinds[i]), index, one)
			printf("%s %s\n", kinds[i], json_string_value(one));
	json_array_foreach(json_object_get(result, "restart"), index, one)
		log_warning("%s: counts only when platterd is started again", json_string_value(one));
	json_array_foreach(json_object_get(result, "failed"), index, one)
		log_error("%s", json_string_value(one));
	return json_array_size(json_object_get(result, "failed")) ? CALL_REFUSED : CALL_OK;
}

static int reload(int argc, char **argv)
{
	json_t *result = NULL;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("reload", NULL, &result);
	if (status == CALL_OK && verb_json)
		status = json_array_size(json_object_get(result, "failed")) ? CALL_REFUSED : CALL_OK;
	else if (status == CALL_OK)
		status = print_reload(result);
	verb_print(result, NULL);
	return status;
}

const struct verb change_verbs[] = {
	{ "export", "add [--save] SPEC...", "export a disk; SPEC as on platterd's command line", export },
	{ "export", "remove [--save] [--drain[=SECONDS]] NAME...", "end an export, and its disk", export },
	{ "export", "resize NAME SIZE", "make a disk larger, or smaller while nobody uses it", export },
	{ "check", "DISK", "see whether its medium or size has changed", check },
	{ "ioctl", "DISK [COMMAND [ARG...]]", "the driver's own commands; without one, their list", ioctl },
	{ "reload", "", "read the configuration again and do what has changed", reload },
	{ "reload-tls", "", "read certificates and keys again", reload_tls },
	{ .name = NULL },
};
