/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that change the running server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/verb.h"
#include "common/log.h"

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

static int export(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "add") == 0)
		return export_add(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "remove") == 0)
		return export_remove(argc - 1, argv + 1);
	return verb_usage("export: write add or remove");
}

const struct verb change_verbs[] = {
	{ "export", "add SPEC...", "export a disk; SPEC as on platterd's command line", export },
	{ "export", "remove [--drain[=SECONDS]] NAME...", "end an export, and its disk", export },
	{ .name = NULL },
};
