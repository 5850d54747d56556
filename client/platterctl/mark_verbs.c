/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on the marks of disks. */
#include <time.h>

#include "client/platterctl/call.h"
#include "client/table.h"
#include "client/platterctl/verb.h"

static int change(int argc, char **argv, const char *method)
{
	json_t *result = NULL;
	int status;

	if (argc != 3)
		return verb_usage("%s: write DISK NAME", argv[0]);
	status = call_method(method, json_pack("{s:s, s:s}", "disk", argv[1], "name", argv[2]), &result);
	verb_print(result, NULL);
	return status;
}

static int mark(int argc, char **argv)
{
	return change(argc, argv, "disk.mark");
}

static int unmark(int argc, char **argv)
{
	return change(argc, argv, "disk.unmark");
}

static void add_time(struct table *table, json_int_t since)
{
	time_t seconds = (time_t)since;
	struct tm local;
	char text[32] = "?";

	if (localtime_r(&seconds, &local))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
	table_add(table, "%s", text);
}

static int marks(int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *one;
	struct table *table;
	size_t i;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("marks", NULL, &result);
	if (status != CALL_OK)
		return status;
	table = table_new("DISK NAME SINCE >DIRTY");
	json_array_foreach(json_object_get(result, "marks"), i, one) {
		table_add(table, "%s", json_string_value(json_object_get(one, "disk")));
		table_add(table, "%s", json_string_value(json_object_get(one, "name")));
		add_time(table, json_integer_value(json_object_get(one, "since")));
		if (json_is_true(json_object_get(one, "all")))
			table_add(table, "all");
		else
			table_add_size(table, (uint64_t)json_integer_value(json_object_get(one, "dirty")));
	}
	verb_print(result, table);
	return CALL_OK;
}

const struct verb mark_verbs[] = {
	{ "mark", "DISK NAME", "note from now on what is changed", mark },
	{ "unmark", "DISK NAME", "no more", unmark },
	{ "marks", "", "what was changed since each mark", marks },
	{ .name = NULL },
};
