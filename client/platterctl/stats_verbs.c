/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on what was counted of requests. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/platterctl/iostat.h"
#include "client/table.h"
#include "client/platterctl/verb.h"
#include "common/clock.h"

#define MOST_INTERVAL 86400
#define MOST_COUNT 1000000000

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *name_of(const json_t *disk)
{
	return json_string_value(json_object_get(disk, "name"));
}

static void add_time(struct table *table, double ns)
{
	if (ns < 1e6)
		table_add(table, "%.1fus", ns / 1e3);
	else if (ns < 1e9)
		table_add(table, "%.1fms", ns / 1e6);
	else
		table_add(table, "%.1fs", ns / 1e9);
}

/* On average. */
static void add_mean(struct table *table, const json_t *op, const char *key)
{
	json_int_t requests = number_of(op, "requests");

	if (requests)
		add_time(table, (double)number_of(json_object_get(op, key), "ns") / (double)requests);
	else
		table_add(table, "-");
}

static bool is_used(const json_t *op)
{
	return number_of(op, "requests") || number_of(op, "in_flight");
}

static void print_ops(json_t *disks)
{
	struct table *table = table_new("DISK OP >REQUESTS >MERGED >SUBMITTED >BYTES >IN-FLIGHT >ERRORS >QUEUE >SERVICE");
	json_t *disk, *op;
	const char *name;
	size_t i;

	json_array_foreach(disks, i, disk) {
		json_object_foreach(json_object_get(disk, "ops"), name, op) {
			if (!is_used(op))
				continue;
			table_add(table, "%s", name_of(disk));
			table_add(table, "%s", name);
			table_add(table, "%" PRIi64, (int64_t)number_of(op, "requests"));
			table_add(table, "%" PRIi64, (int64_t)number_of(op, "merged"));
			table_add(table, "%" PRIi64, (int64_t)number_of(op, "submitted"));
			table_add_size(table, (uint64_t)number_of(op, "bytes"));
			table_add(table, "%" PRIi64, (int64_t)number_of(op, "in_flight"));
			table_add(table, "%" PRIi64, (int64_t)number_of(op, "errors"));
			add_mean(table, op, "queue");
			add_mean(table, op, "service");
		}
	}
	table_print(table);
}

static void print_disks(const json_t *disks)
{
	struct table *table = table_new("DISK >AGE >BUSY >FLUSHES >SYNCS >SYNCS/FLUSH FAILURE");
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk) {
		const json_t *flush = json_object_get(json_object_get(disk, "ops"), "flush");
		const char *failure = json_string_value(json_object_get(disk, "failure"));
		json_int_t flushes = number_of(flush, "requests"), syncs = number_of(flush, "submitted");

		table_add(table, "%s", name_of(disk));
		add_time(table, (double)number_of(disk, "age_us") * 1e3);
		add_time(table, (double)number_of(disk, "busy_us") * 1e3);
		table_add(table, "%" PRIi64, (int64_t)flushes);
		table_add(table, "%" PRIi64, (int64_t)syncs);
		if (flushes)
			table_add(table, "%.3f", (double)syncs / (double)flushes);
		else
			table_add(table, "-");
		table_add(table, "%s", failure ? failure : "-");
	}
	table_print(table);
}

/* The least time of the bucket at INDEX: 1, 2, 4 us and so on, where 1 ms has 1024 and 1 s as many of these. */
static void add_least(struct table *table, size_t index)
{
	static const char *const units[] = { "us", "ms", "s" };

	if (index == 0)
		table_add(table, "0");
	else
		table_add(table, "%u%s", 1u << (index - 1) % 10, units[(index - 1) / 10]);
}

static const json_t *buckets_of(const json_t *op, const char *key)
{
	return json_object_get(json_object_get(op, key), "log2_us");
}

/* How many requests took how long; a row for each bucket, and for each op that was used two columns. */
static void print_histograms(const json_t *disk)
{
	json_t *ops = json_object_get(disk, "ops");
	char headings[256] = "FROM";
	struct table *table;
	size_t rows = 0;
	const char *name;
	json_t *op;

	json_object_foreach(ops, name, op) {
		size_t length = strlen(headings);

		if (!is_used(op))
			continue;
		snprintf(headings + length, sizeof(headings) - length, " >%s-queue >%s-service", name, name);
		if (json_array_size(buckets_of(op, "queue")) > rows)
			rows = json_array_size(buckets_of(op, "queue"));
		if (json_array_size(buckets_of(op, "service")) > rows)
			rows = json_array_size(buckets_of(op, "service"));
	}
	if (rows == 0)
		return;
	table = table_new(headings);
	for (size_t i = 0; i < rows; i++) {
		add_least(table, i);
		json_object_foreach(ops, name, op) {
			if (!is_used(op))
				continue;
			table_add(table, "%" PRIi64, (int64_t)json_integer_value(json_array_get(buckets_of(op, "queue"), i)));
			table_add(table, "%" PRIi64, (int64_t)json_integer_value(json_array_get(buckets_of(op, "service"), i)));
		}
	}
	putchar('\n');
	table_print(table);
}

static int stats(int argc, char **argv)
{
	json_t *result = NULL;
	int status;

	if (argc > 2)
		return verb_usage("stats: write [DISK]");
	status = call_method("stats", argc == 2 ? json_pack("{s:s}", "disk", argv[1]) : NULL, &result);
	if (status == CALL_OK && !verb_json) {
		json_t *disks = json_object_get(result, "disks");

		print_disks(disks);
		putchar('\n');
		print_ops(disks);
		if (argc == 2)
			print_histograms(json_array_get(disks, 0));
	}
	verb_print(result, NULL);
	return status;
}

/* NULL: there was none of this name. */
static const json_t *find_disk(const json_t *answer, const char *name)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(answer, "disks"), i, disk)
		if (strcmp(name_of(disk), name) == 0)
			return disk;
	return NULL;
}

static void print_report(const json_t *answer, const json_t *before)
{
	struct table *table = table_new("Device");
	const json_t *disk;
	size_t i;

	for (unsigned column = 0; column < IOSTAT_COLUMNS; column++)
		table_add_column(table, iostat_columns[column]);
	json_array_foreach(json_object_get(answer, "disks"), i, disk) {
		double values[IOSTAT_COLUMNS];

		iostat_values(values, disk, find_disk(before, name_of(disk)));
		table_add(table, "%s", name_of(disk));
		for (unsigned column = 0; column < IOSTAT_COLUMNS; column++)
			table_add(table, "%.2f", values[column]);
	}
	table_print(table);
}

/* The same as a line of JSON. */
static void print_json(const json_t *answer, const json_t *before)
{
	json_t *list = json_array(), *report;
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(answer, "disks"), i, disk) {
		json_t *object = json_pack("{s:s}", "disk", name_of(disk));
		double values[IOSTAT_COLUMNS];

		iostat_values(values, disk, find_disk(before, name_of(disk)));
		for (unsigned column = 0; column < IOSTAT_COLUMNS; column++)
			json_object_set_new(object, iostat_columns[column], json_real(values[column]));
		json_array_append_new(list, object);
	}
	report = json_pack("{s:o}", "disks", list);
	json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(report);
}

/* COUNT reports, or endless ones for 0, every SECONDS. */
static int report(unsigned seconds, unsigned count)
{
	uint64_t next = clock_ns();
	json_t *before = NULL;
	int status = CALL_OK;

	for (unsigned i = 0; (i < count || count == 0) && status == CALL_OK && !ferror(stdout); i++) {
		const struct timespec at = clock_timespec(next);
		json_t *answer = NULL;

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
			;
		next += seconds * UINT64_C(1000000000);
		status = call_method("stats", NULL, &answer);
		if (status == CALL_OK && i > 0 && !verb_json)
			putchar('\n');
		if (status == CALL_OK)
			(verb_json ? print_json : print_report)(answer, before);
		fflush(stdout);
		json_decref(before);
		before = answer;
	}
	json_decref(before);
	return status;
}

static bool parse_number(const char *text, unsigned most, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return *text >= '0' && *text <= '9' && *end == '\0' && value >= 1 && value <= most;
}

static int iostat(int argc, char **argv)
{
	unsigned seconds = 1, count = 0;
	int first = argc > 1 && strcmp(argv[1], "-x") == 0 ? 2 : 1;

	if (argc == first)
		return report(1, 1);
	if (argc > first + 2)
		return verb_usage("iostat: write [INTERVAL [COUNT]]");
	if (!parse_number(argv[first], MOST_INTERVAL, &seconds))
		return verb_usage("iostat: %s: not a number of seconds from 1 to %d", argv[first], MOST_INTERVAL);
	if (argc == first + 2 && !parse_number(argv[first + 1], MOST_COUNT, &count))
		return verb_usage("iostat: %s: not a number of reports from 1 to %d", argv[first + 1], MOST_COUNT);
	return report(seconds, count);
}

const struct verb stats_verbs[] = {
	{ "stats", "[DISK]", "what was counted of disks' requests", stats },
	{ "iostat", "[-x] [INTERVAL [COUNT]]", "the same by the second, in the columns of iostat -x", iostat },
	{ .name = NULL },
};
