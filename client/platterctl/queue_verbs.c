/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on the queues of disks. */
#include <stdio.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/table.h"
#include "client/platterctl/verb.h"

static void add_value(struct table *table, const json_t *value)
{
	if (json_is_integer(value))
		table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		table_add(table, "%s", json_string_value(value));
}

/* All attributes. */
static int list(const char *disk)
{
	json_t *result = NULL, *value;
	struct table *table = NULL;
	const char *name;
	int status = call_method("disk.queue", json_pack("{s:s}", "disk", disk), &result);

	if (status == CALL_OK && !verb_json) {
		table = table_new("ATTRIBUTE VALUE");
		json_object_foreach(json_object_get(result, "queue"), name, value) {
			table_add(table, "%s", name);
			add_value(table, value);
		}
	}
	verb_print(result, table);
	return status;
}

/* The value of one, alone on its line. */
static int show(const char *disk, const char *name)
{
	json_t *result = NULL;
	const json_t *value;
	int status = call_method("disk.queue", json_pack("{s:s}", "disk", disk), &result);

	if (status != CALL_OK)
		return status;
	value = json_object_get(json_object_get(result, "queue"), name);
	if (!value)
		status = verb_usage("queue: %s: a queue has no such attribute", name);
	else if (verb_json)
		verb_print(json_pack("{s:O}", name, value), NULL);
	else if (json_is_integer(value))
		printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	else
		puts(json_string_value(value));
	json_decref(result);
	return status;
}

static int set(const char *disk, const char *setting)
{
	const char *value = strchr(setting, '=') + 1;
	json_t *result = NULL;
	int status = call_method("disk.queue.set", json_pack("{s:s, s:s%, s:s}", "disk", disk, "name", setting,
							     (size_t)(value - 1 - setting), "value", value), &result);

	verb_print(result, NULL);
	return status;
}

static int queue(int argc, char **argv)
{
	int status = CALL_OK;

	if (argc < 2)
		return verb_usage("queue: write DISK [ATTRIBUTE[=VALUE]...]");
	if (argc == 2)
		return list(argv[1]);
	for (int i = 2; i < argc && status == CALL_OK; i++) {
		status = strchr(argv[i], '=') ? set(argv[1], argv[i]) : show(argv[1], argv[i]);
		status = verb_ended_at(status, argv[i], i + 1 == argc);
	}
	return status;
}

static int clear_error(int argc, char **argv)
{
	json_t *result = NULL;
	int status;

	if (argc != 2)
		return verb_usage("clear-error: write DISK");
	status = call_method("disk.clear_error", json_pack("{s:s}", "disk", argv[1]), &result);
	if (status == CALL_OK && !verb_json && !json_is_true(json_object_get(result, "cleared")))
		puts("there was no error");
	verb_print(result, NULL);
	return status;
}

const struct verb queue_verbs[] = {
	{ "queue", "DISK [ATTRIBUTE[=VALUE]...]", "how its requests are queued, or change it", queue },
	{ "clear-error", "DISK", "forget that making data durable failed", clear_error },
	{ .name = NULL },
};
