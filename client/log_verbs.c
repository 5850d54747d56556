/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on what the server has logged and what happens. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/call.h"
#include "client/verb.h"

static bool with_date;

/* "[   12.345678] text", as dmesg(1) does. */
static void print_message(const json_t *message)
{
	json_int_t uptime = json_integer_value(json_object_get(message, "uptime_us"));
	const char *text = json_string_value(json_object_get(message, "text"));

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
	json_t *result = NULL;
	const json_t *message;
	size_t i;
	int status = call_method("log", NULL, &result);

	if (status == CALL_OK && verb_json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (status == CALL_OK) {
		json_array_foreach(json_object_get(result, "messages"), i, message)
			print_message(message);
	}
	json_decref(result);
	return status;
}

static int dmesg(int argc, char **argv)
{
	bool follow = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-w") == 0 || strcmp(argv[i], "--follow") == 0)
			follow = true;
		else if (strcmp(argv[i], "-T") == 0 || strcmp(argv[i], "--ctime") == 0)
			with_date = true;
		else
			return verb_usage("dmesg: %s: not an option", argv[i]);
	}
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
	{ "dmesg", "[-w] [-T]", "what the server has logged; -w: goes on, -T: with dates", dmesg },
	{ "watch", "", "what happens, as lines of JSON", watch },
	{ .name = NULL },
};
