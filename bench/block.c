/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-block: what a request costs in the daemon's block layer, without
 * sockets and the ring.  Either with the RAM disk's driver linked in and, in the
 * same run and from the same source, loaded as a module; or with a driver that
 * does nothing and one scheduler after the other.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/block_options.h"
#include "bench/block_round.h"
#include "bench/block_sink.h"
#include "common/log.h"
#include "plugins/builtin.h"
#include "server/block/args.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/limits.h"
#include "server/module/module.h"

#define MEMORY_LIMIT (UINT64_C(1) << 30)
/* Written to a disk that keeps nothing, so that all is warm. */
#define SINK_FILL (UINT64_C(64) << 20)

/* One disk, and the rounds with it. */
struct subject {
	const char *name;
	struct software_queue software;
	struct account account;
	struct round round;
	double *ns; /* for one request; a figure for each round */
};

static struct disk *open_disk(const char *driver_name, const char *name, const char *size)
{
	const struct platter_driver *driver = driver_get(driver_name);
	struct platter_error error = { "" };
	struct args *args = args_new();
	struct disk *disk;

	if (!driver || !args)
		errx(1, driver ? "out of memory" : "the module has no driver named \"%s\"", driver_name);
	if (args_set(args, driver, "size", size, &error) < 0 ||
	    disk_add(&disk, driver, name, NULL, args, false, &error) < 0 || disk_open_wait(disk, &error) < 0)
		errx(1, "%s: %s", name ? name : driver_name, error.text);
	driver_put(driver);
	return disk;
}

/* Under another name: the module registers a driver of the usual one. */
static struct disk *open_linked(const char *size)
{
	static struct platter_driver driver;

	driver = ram_driver;
	driver.name = "linked";
	if (platter_register_driver(&driver) < 0)
		errx(1, "cannot register the driver that is linked in");
	return open_disk(driver.name, "linked", size);
}

static struct disk *open_module(const char *path, const char *size)
{
	struct platter_error error = { "" };
	char *absolute = realpath(path, NULL);
	char *reason = NULL;

	if (!absolute)
		err(1, "%s", path);
	if (module_load(absolute, NULL, 0, &reason, &error) < 0)
		errx(1, "%s", reason ? reason : error.text);
	free(absolute);
	return open_disk(ram_driver.name, "module", size);
}

static void set_attribute(struct disk *disk, const char *name, const char *value)
{
	struct platter_error error = { "" };

	if (limits_set(&disk->limits, name, value, &error) < 0)
		errx(1, "%s", error.text);
}

static struct disk *open_sink(const char *scheduler, const char *size)
{
	struct disk *disk = open_disk(sink_driver.name, NULL, size);

	set_attribute(disk, "scheduler", scheduler);
	return disk;
}

static void set_attributes(struct disk *disk, const struct block_options *options)
{
	for (unsigned i = 0; i < options->setting_count; i++) {
		char *name = strdup(options->settings[i]);
		char *value = name ? strchr(name, '=') : NULL;

		if (!value)
			errx(1, "\"%s\" is not NAME=VALUE", options->settings[i]);
		*value = '\0';
		set_attribute(disk, name, value + 1);
		free(name);
	}
}

static void prepare(struct subject *subject, const char *name, struct block *block, struct buffer *payload,
		    struct disk *disk, const struct block_options *options)
{
	subject->name = name;
	set_attributes(disk, options);
	subject->account = (struct account){ 0 };
	software_queue_init(&subject->software);
	subject->software.account = &subject->account;
	subject->round = (struct round){
		.software = &subject->software,
		.block = block,
		.disk = disk,
		.payload = payload,
		.write = options->write,
		.random = options->random,
		.depth = options->depth,
		.count = options->count,
		.random_state = options->seed,
	};
	subject->ns = calloc(options->rounds, sizeof(*subject->ns));
	if (!subject->ns)
		errx(1, "out of memory");
	block_round_fill(&subject->round, options->scheduler_count ? SINK_FILL : disk->geometry.bytes);
}

/* How many there are. */
static unsigned prepare_all(struct subject *subjects, struct block *block, struct buffer *payload,
			    const struct block_options *options)
{
	if (options->scheduler_count) {
		for (unsigned i = 0; i < options->scheduler_count; i++)
			prepare(&subjects[i], options->schedulers[i], block, payload,
				open_sink(options->schedulers[i], options->size), options);
		return options->scheduler_count;
	}
	prepare(&subjects[0], "linked", block, payload, open_linked(options->size), options);
	if (!options->module)
		return 1;
	prepare(&subjects[1], "module", block, payload, open_module(options->module, options->size), options);
	return 2;
}

/* In turn, so that whatever else the machine does meets all alike. */
static void measure(struct subject *subjects, unsigned count, const struct block_options *options)
{
	for (unsigned i = 0; i < options->rounds; i++)
		for (unsigned j = 0; j < count; j++)
			subjects[j].ns[i] = (double)block_round(&subjects[j].round) / (double)options->count;
}

/* A figure is worth nothing when requests got lost or failed on the way. */
static void check(const struct subject *subject)
{
	const struct round *round = &subject->round;

	if (round->ended != round->asked || round->failed)
		errx(1, "%s: of %" PRIu64 " requests %" PRIu64 " have ended, %" PRIu64 " of these failed", subject->name, round->asked,
		     round->ended, round->failed);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *figures, unsigned count)
{
	qsort(figures, count, sizeof(*figures), compare);
	return count % 2 ? figures[count / 2] : (figures[count / 2 - 1] + figures[count / 2]) / 2;
}

static void print_json(const struct subject *subjects, unsigned count, const struct block_options *options)
{
	putchar('{');
	for (unsigned i = 0; i < count; i++) {
		printf("%s\"%s\": [", i ? ", " : "", subjects[i].name);
		for (unsigned j = 0; j < options->rounds; j++)
			printf("%s%.3f", j ? ", " : "", subjects[i].ns[j]);
		putchar(']');
	}
	printf("}\n");
}

static void print_table(const struct subject *subjects, unsigned count, const struct block_options *options)
{
	double first = 0;

	printf("%s, 4 KiB %s %s, %u in a batch; the median of %u rounds of %" PRIu64 " requests\n",
	       options->scheduler_count ? "A disk that does nothing" : "RAM disk", options->random ? "random" : "sequential",
	       options->write ? "write" : "read", options->depth, options->rounds, options->count);
	for (unsigned i = 0; i < count; i++) {
		double middle = median(subjects[i].ns, options->rounds);

		printf("%-8s %8.1f ns a request (%.1f..%.1f)", subjects[i].name, middle, subjects[i].ns[0],
		       subjects[i].ns[options->rounds - 1]);
		if (i == 0)
			first = middle;
		else
			printf(", %+.1f ns, %.3f times the first", middle - first, middle / first);
		putchar('\n');
	}
}

static void ignore(const char *event, const char *module)
{
	(void)event;
	(void)module;
}

/* What the daemon has of it all: one reactor's part of the block layer, the threads that open disks, modules. */
static void start(struct block *block, struct pool **control)
{
	log_open("platter-block", LOG_LEVEL_WARNING);
	if (pool_create(control, "control", 1) < 0)
		errx(1, "out of memory");
	block_init(block, 0, MEMORY_LIMIT);
	block_set_self(block);
	disk_init(1, *control, NULL, NULL); /* no reactor is called: all disks go together, at the end */
	module_init(ignore);
	if (platter_register_driver(&sink_driver) < 0)
		errx(1, "cannot register the driver that does nothing");
}

static void finish(struct subject *subjects, unsigned count, struct block *block, struct pool *control)
{
	for (unsigned i = 0; i < count; i++) {
		disk_release(subjects[i].round.disk);
		disk_put(subjects[i].round.disk);
		free(subjects[i].ns);
	}
	pool_destroy(control);
	disk_remove_all();
	module_unload_all();
	driver_exit();
	block_destroy(block);
}

int main(int argc, char **argv)
{
	struct block_options options;
	struct subject subjects[BLOCK_MAX_SUBJECTS];
	struct buffer *payload;
	struct pool *control;
	struct block block;
	unsigned count;

	block_options_parse(&options, argc, argv);
	start(&block, &control);
	payload = buffer_get(&block.buffers, BUFFER_SMALL);
	if (!payload)
		errx(1, "out of memory");
	memset(payload->memory, 0x5a, ROUND_BLOCK);
	count = prepare_all(subjects, &block, payload, &options);
	measure(subjects, count, &options);
	for (unsigned i = 0; i < count; i++)
		check(&subjects[i]);
	(options.json ? print_json : print_table)(subjects, count, &options);
	buffer_put(payload);
	finish(subjects, count, &block, control);
}
