/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on modules, as of kmod. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/table.h"
#include "client/platterctl/verb.h"
#include "common/log.h"
#include "server/module/modname.h"

/* "2 cache,linear (P)", and its state unless it is Live. */
static void add_used_by(struct table *table, const json_t *module)
{
	const char *taint = json_string_value(json_object_get(module, "taint"));
	const char *state = json_string_value(json_object_get(module, "state"));
	bool live = strcmp(state, "Live") == 0;
	char names[512] = "";
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(module, "used_by"), i, name)
		if (strlen(names) + json_string_length(name) + 2 < sizeof(names))
			sprintf(names + strlen(names), "%s%s", i ? "," : "", json_string_value(name));
	table_add(table, "%" JSON_INTEGER_FORMAT "%s%s%s%s%s%s%s", json_integer_value(json_object_get(module, "users")),
		  *names ? " " : "", names, *taint ? " (" : "", taint, *taint ? ")" : "", live ? "" : " ", live ? "" : state);
}

static int lsmod(int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *module;
	struct table *table;
	size_t i;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("modules", NULL, &result);
	if (status != CALL_OK)
		return status;
	table = table_new("Module >Size Used_by");
	json_array_foreach(json_object_get(result, "modules"), i, module) {
		table_add(table, "%s", json_string_value(json_object_get(module, "name")));
		table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(module, "size")));
		add_used_by(table, module);
	}
	verb_print(result, table);
	return CALL_OK;
}

static int symbols(int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *symbol;
	size_t i;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("symbols", NULL, &result);
	if (status != CALL_OK)
		return status;
	if (!verb_json)
		json_array_foreach(json_object_get(result, "symbols"), i, symbol) {
			const char *module = json_string_value(json_object_get(symbol, "module"));

			printf("%s %s %s%s%s%s\n", json_string_value(json_object_get(symbol, "address")),
			       json_string_value(json_object_get(symbol, "type")), json_string_value(json_object_get(symbol, "name")),
			       module ? "\t[" : "", module ? module : "", module ? "]" : "");
		}
	verb_print(result, NULL);
	return CALL_OK;
}

/* The rest of ARGV as an array; NULL when one isn't UTF-8. */
static json_t *arguments(int argc, char **argv)
{
	json_t *list = json_array();

	for (int i = 0; i < argc; i++) {
		json_t *text = json_string(argv[i]);

		if (!text) {
			verb_usage("%s: not UTF-8", argv[i]);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, text);
	}
	return list;
}

static int insmod(int argc, char **argv)
{
	json_t *result = NULL, *args;
	char *file;
	int status;

	if (argc < 2)
		return verb_usage("insmod: write FILE [PARAMETER=VALUE...]");
	args = arguments(argc - 2, argv + 2);
	if (!args)
		return CALL_USAGE;
	/* The server may run elsewhere. */
	file = realpath(argv[1], NULL);
	status = call_method("module.insmod", json_pack("{s:s, s:o}", "file", file ? file : argv[1], "args", args), &result);
	free(file);
	verb_print(result, NULL);
	return status;
}

static int modprobe(int argc, char **argv)
{
	bool removes = argc > 1 && strcmp(argv[1], "-r") == 0;
	int first = removes ? 2 : 1;
	json_t *result = NULL, *args, *params;
	int status;

	if (argc <= first || (removes && argc > first + 1))
		return verb_usage("modprobe: write NAME [PARAMETER=VALUE...] or -r NAME");
	args = arguments(argc - first - 1, argv + first + 1);
	params = args ? json_pack("{s:s, s:o, s:b}", "name", argv[first], "args", args, "remove", (int)removes) : NULL;
	if (!params)
		return CALL_USAGE;
	status = call_method("module.modprobe", params, &result);
	verb_print(result, NULL);
	return status;
}

static int rmmod(int argc, char **argv)
{
	return verb_remove(argc, argv, "rmmod", "module.rmmod", NULL);
}

static int set_param(char **argv)
{
	json_t *params = json_pack("{s:s, s:s, s:s}", "name", argv[1], "param", argv[2], "value", argv[3]);
	json_t *result = NULL;
	int status;

	if (!params)
		return verb_usage("param: not UTF-8");
	status = call_method("module.param.set", params, &result);
	verb_print(result, NULL);
	return status;
}

/* Leaves WANTED of the parameters in RESULT, if it is there. */
static void filter_params(json_t *result, const char *wanted)
{
	json_t *found = json_array(), *param;
	size_t i;

	json_array_foreach(json_object_get(result, "params"), i, param)
		if (modname_equal(json_string_value(json_object_get(param, "name")), wanted))
			json_array_append(found, param);
	json_object_set_new(result, "params", found);
}

/* All parameters of a module, or the value of one. */
static int show_params(const char *module, const char *wanted)
{
	json_t *result = NULL;
	const json_t *param;
	size_t i;
	int status = call_method("module.params", json_pack("{s:s}", "name", module), &result);

	if (status != CALL_OK)
		return status;
	if (wanted)
		filter_params(result, wanted);
	if (wanted && json_array_size(json_object_get(result, "params")) == 0) {
		log_error("%s has no parameter \"%s\" that can be read", module, wanted);
		json_decref(result);
		return CALL_REFUSED;
	}
	if (!verb_json)
		json_array_foreach(json_object_get(result, "params"), i, param)
			printf("%s%s%s\n", wanted ? "" : json_string_value(json_object_get(param, "name")), wanted ? "" : "=",
			       json_string_value(json_object_get(param, "value")));
	verb_print(result, NULL);
	return CALL_OK;
}

static int param(int argc, char **argv)
{
	if (argc == 4)
		return set_param(argv);
	if (argc == 2 || argc == 3)
		return show_params(argv[1], argc == 3 ? argv[2] : NULL);
	return verb_usage("param: write MODULE [PARAMETER [VALUE]]");
}

const struct verb module_verbs[] = {
	{ "lsmod", "", "the modules that are loaded", lsmod },
	{ "insmod", "FILE [PARAMETER=VALUE...]", "load a module", insmod },
	{ "rmmod", "[--drain[=SECONDS]] NAME...", "unload it, when nothing uses it", rmmod },
	{ "modprobe", "NAME [PARAMETER=VALUE...]", "load a module, or what an alias stands for, and what it needs", modprobe },
	{ "modprobe", "-r NAME", "unload it, and what it needed, if unused", modprobe },
	{ "param", "MODULE [PARAMETER [VALUE]]", "show parameters, or set one", param },
	{ "symbols", "", "what modules can call", symbols },
	{ .name = NULL },
};
