/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that change the running server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/table.h"
#include "client/verb.h"
#include "common/log.h"
#include "common/size.h"

/* How long `export remove --drain` waits for clients that was told no time. */
#define DRAIN_SECONDS 30

/* Prints what came of one call, with --json. */
static void print_result(json_t *result)
{
	if (verb_json && result) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(result);
}

static int export_add(int argc, char **argv)
{
	int status = CALL_OK;

	if (argc < 2)
		return verb_usage("export add: what? for example vm1=/srv/vm1.img,readonly or ram:1G");
	for (int i = 1; i < argc && status == CALL_OK; i++) {
		json_t *result = NULL;
		const char *name;

		status = call_method("export.add", json_pack("{s:s}", "spec", argv[i]), &result);
		if (status == CALL_REFUSED && argc > 2)
			log_error("this was %s; what stands behind it was not tried", argv[i]);
		name = json_string_value(json_object_get(result, "name"));
		/* A name that the server chose is news. */
		if (status == CALL_OK && name && !verb_json)
			puts(name);
		print_result(result);
	}
	return status;
}

/* --drain or --drain=SECONDS. */
static bool parse_drain(const char *arg, long *seconds)
{
	char *end;

	if (strcmp(arg, "--drain") == 0) {
		*seconds = DRAIN_SECONDS;
		return true;
	}
	if (strncmp(arg, "--drain=", 8) != 0 || arg[8] < '0' || arg[8] > '9')
		return false;
	*seconds = strtol(arg + 8, &end, 10);
	return *end == '\0';
}

static int export_remove(int argc, char **argv)
{
	int status = CALL_OK;
	long drain = 0;
	int i = 1;

	if (argc > 1 && argv[1][0] == '-' && !parse_drain(argv[i++], &drain))
		return verb_usage("export remove: %s: not an option", argv[1]);
	if (i == argc)
		return verb_usage("export remove: which?");
	for (; i < argc && status == CALL_OK; i++) {
		json_t *result = NULL;

		status = call_method("export.remove", json_pack("{s:s, s:I}", "name", argv[i], "drain", (json_int_t)drain), &result);
		print_result(result);
	}
	return status;
}

static int export_resize(int argc, char **argv)
{
	json_t *result = NULL;
	uint64_t bytes;
	int status;

	if (argc != 3)
		return verb_usage("export resize: write NAME SIZE");
	if (size_parse(argv[2], &bytes) < 0)
		return verb_usage("export resize: %s: not a size", argv[2]);
	status = call_method("disk.resize", json_pack("{s:s, s:I}", "disk", argv[1], "size", (json_int_t)bytes), &result);
	print_result(result);
	return status;
}

static int export(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "add") == 0)
		return export_add(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "remove") == 0)
		return export_remove(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "resize") == 0)
		return export_resize(argc - 1, argv + 1);
	return verb_usage("export: write add, remove or resize");
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
	print_result(result);
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
		table_print(table, 1);
	}
	print_result(result);
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
	print_result(result);
	return status;
}

const struct verb change_verbs[] = {
	{ "export", "add SPEC...", "export a disk; SPEC as on platterd's command line", export },
	{ "export", "remove [--drain[=SECONDS]] NAME...", "end an export, and its disk", export },
	{ "export", "resize NAME SIZE", "make a disk larger, or smaller while nobody uses it", export },
	{ "check", "DISK", "see whether its medium or size has changed", check },
	{ "ioctl", "DISK [COMMAND [ARG...]]", "the driver's own commands; without one, their list", ioctl },
	{ .name = NULL },
};
