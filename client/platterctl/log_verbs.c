/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on what the server has logged and what happens. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/platterctl/call.h"
#include "client/platterctl/verb.h"

/* Under syslog's numbers, by the names that dmesg(1) has for them. */
static const char *const level_names[] = { "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug" };
#define LEVELS (sizeof(level_names) / sizeof(level_names[0]))

static bool with_date, with_level;
static unsigned wanted_levels = (1u << LEVELS) - 1; /* a bit for each */

static size_t level_of(const json_t *message)
{
	return (size_t)json_integer_value(json_object_get(message, "level")) % LEVELS;
}

static bool is_wanted(const json_t *message)
{
	return wanted_levels & 1u << level_of(message);
}

/* "[   12.345678] text", as dmesg(1) does; "daemon:warn  : " in front of it, if that is asked for. */
static void print_message(const json_t *message)
{
	json_int_t uptime = json_integer_value(json_object_get(message, "uptime_us"));
	const char *text = json_string_value(json_object_get(message, "text"));

	if (with_level)
		printf("daemon:%-6s: ", level_names[level_of(message)]);
	if (with_date) {
		time_t seconds = (time_t)(json_integer_value(json_object_get(message, "realtime_us")) / 1000000);
		char date[64] = "";
		struct tm local;

		if (localtime_r(&seconds, &local))
			strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &local);
		printf("[%s] ", date);
	} else {
		printf("[%5" PRIi64 ".%06" PRIi64 "] ", (int64_t)(uptime / 1000000), (int64_t)(uptime % 1000000));
	}
	puts(text ? text : "");
}

static void print_line(const json_t *object)
{
	if (!is_wanted(json_object_get(object, "log")))
		return;
	if (verb_json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_message(json_object_get(object, "log"));
	}
	fflush(stdout);
}

static int print_ring(void)
{
	json_t *result = NULL, *wanted = json_array(), *message;
	size_t i;
	int status = call_method("log", NULL, &result);

	json_array_foreach(json_object_get(result, "messages"), i, message)
		if (is_wanted(message))
			json_array_append(wanted, message);
	if (!verb_json)
		json_array_foreach(wanted, i, message)
			print_message(message);
	if (result)
		json_object_set(result, "messages", wanted);
	json_decref(wanted);
	verb_print(result, NULL);
	return status;
}

/* "err,warn" */
static int parse_levels(const char *list)
{
	wanted_levels = 0;
	while (true) {
		size_t length = strcspn(list, ",");
		size_t level = 0;

		while (level < LEVELS && (strlen(level_names[level]) != length || strncmp(level_names[level], list, length) != 0))
			level++;
		if (level == LEVELS)
			return verb_usage("dmesg: %.*s: not a level (emerg, alert, crit, err, warn, notice, info, debug)", (int)length, list);
		wanted_levels |= 1u << level;
		if (list[length] == '\0')
			return CALL_OK;
		list += length + 1;
	}
}

static int dmesg(int argc, char **argv)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'w' },  { "ctime", no_argument, NULL, 'T' },
		{ "decode", no_argument, NULL, 'x' },  { "level", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	bool follow = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "wTxl:", options, NULL)) != -1) {
		if (option == '?')
			return verb_usage("dmesg: %s: not an option, or without its value", argv[optind - 1]);
		if (option == 'l' && parse_levels(optarg) != CALL_OK)
			return CALL_USAGE;
		follow |= option == 'w';
		with_date |= option == 'T';
		with_level |= option == 'x';
	}
	if (optind < argc)
		return verb_usage("dmesg: %s: not expected", argv[optind]);
	return follow ? call_stream("watch", json_pack("{s:b, s:i}", "log", 1, "after", 0), print_line) : print_ring();
}

static void print_event(const json_t *object)
{
	json_dumpf(json_object_get(object, "event"), stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

static int watch(int argc, char **argv)
{
	int status = verb_no_arguments(argc, argv);

	return status == CALL_OK ? call_stream("watch", json_pack("{s:b}", "events", 1), print_event) : status;
}

const struct verb log_verbs[] = {
	{ "dmesg", "[-w] [-T] [-x] [-l LEVEL,...]", "what was logged; -w: goes on, -T: dates, -x: levels, -l: only these", dmesg },
	{ "watch", "", "what happens, as lines of JSON", watch },
	{ .name = NULL },
};
