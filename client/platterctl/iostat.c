/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platterctl/iostat.h"

#include <stddef.h>

const char *const iostat_columns[IOSTAT_COLUMNS] = {
	"r/s", "rkB/s", "rrqm/s", "%rrqm", "r_await", "rareq-sz",
	"w/s", "wkB/s", "wrqm/s", "%wrqm", "w_await", "wareq-sz",
	"d/s", "dkB/s", "drqm/s", "%drqm", "d_await", "dareq-sz",
	"f/s", "f_await", "aqu-sz", "%util",
};

/* What happened to requests of one kind. */
struct kind {
	double requests, merged, submitted, bytes, ns;
};

static double number(const json_t *object, const char *key)
{
	return (double)json_integer_value(json_object_get(object, key));
}

static double time_of(const json_t *op)
{
	return number(json_object_get(op, "queue"), "ns") + number(json_object_get(op, "service"), "ns");
}

/* Adds what OP's counters have grown by. */
static void add_op(struct kind *kind, const json_t *disk, const json_t *before, const char *name)
{
	const json_t *op = json_object_get(json_object_get(disk, "ops"), name);
	const json_t *old = json_object_get(json_object_get(before, "ops"), name);

	kind->requests += number(op, "requests") - number(old, "requests");
	kind->merged += number(op, "merged") - number(old, "merged");
	kind->submitted += number(op, "submitted") - number(old, "submitted");
	kind->bytes += number(op, "bytes") - number(old, "bytes");
	kind->ns += time_of(op) - time_of(old);
}

/* 0 where nothing happened. */
static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static void six_columns(double *values, const struct kind *kind, double seconds)
{
	values[0] = ratio(kind->submitted, seconds);
	values[1] = ratio(kind->bytes / 1024, seconds);
	values[2] = ratio(kind->merged, seconds);
	values[3] = 100 * ratio(kind->merged, kind->merged + kind->submitted);
	values[4] = ratio(kind->ns / 1e6, kind->requests);
	values[5] = ratio(kind->bytes / 1024, kind->submitted);
}

void iostat_values(double values[IOSTAT_COLUMNS], const json_t *disk, const json_t *before)
{
	struct kind reads = { 0 }, writes = { 0 }, discards = { 0 }, flushes = { 0 }, others = { 0 };
	double seconds, all_ns, busy;

	/* Another disk of the same name. */
	if (number(disk, "age_us") < number(before, "age_us"))
		before = NULL;
	seconds = (number(disk, "age_us") - number(before, "age_us")) / 1e6;
	add_op(&reads, disk, before, "read");
	add_op(&writes, disk, before, "write");
	add_op(&writes, disk, before, "zeroes");
	add_op(&discards, disk, before, "trim");
	add_op(&flushes, disk, before, "flush");
	add_op(&others, disk, before, "cache");
	add_op(&others, disk, before, "extents");
	six_columns(&values[0], &reads, seconds);
	six_columns(&values[6], &writes, seconds);
	six_columns(&values[12], &discards, seconds);
	values[18] = ratio(flushes.submitted, seconds);
	values[19] = ratio(flushes.ns / 1e6, flushes.requests);
	all_ns = reads.ns + writes.ns + discards.ns + flushes.ns + others.ns;
	values[20] = ratio(all_ns / 1e9, seconds);
	busy = 100 * ratio((number(disk, "busy_us") - number(before, "busy_us")) / 1e6, seconds);
	/* The two times weren't taken in the same moment. */
	values[21] = busy < 100 ? busy : 100;
}
