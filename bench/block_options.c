/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/block_options.h"

#include <err.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/size.h"

#define MAX_DEPTH 65536
#define MAX_ROUNDS 1000

static const char help[] =
	"Usage: platter-block [OPTION]...\n"
	"Pushes requests of 4 KiB through platterd's block layer to the RAM disk's driver,\n"
	"without a network, and reports the CPU time that one takes; or to a driver that does\n"
	"nothing, to see what the queue itself costs.\n"
	"\n"
	"  --module FILE      do the same with the driver as a module, ram.so, and compare\n"
	"  --scheduler NAME   instead, a disk that does nothing with this scheduler: none, merge,\n"
	"                     deadline; repeated: compare\n"
	"  --queue NAME=VALUE set an attribute of the disks' queues, as platterctl queue does\n"
	"  --op read|write    (read)\n"
	"  --depth N          requests that are queued before they are dispatched (32)\n"
	"  --random           offsets at random (the default), or\n"
	"  --sequential       one after the other\n"
	"  --size SIZE        of the disk (64M; 1T where it does nothing: neighbours are few)\n"
	"  --count N          requests of a round (1M)\n"
	"  --rounds N         of each disk, in turn (5)\n"
	"  --seed N           of the offsets (1)\n"
	"  --json             print one JSON object with every round's figure\n"
	"\n"
	"Instructions, unlike time, are the same in every run.  To count them:\n"
	"  valgrind --tool=callgrind --toggle-collect=block_round --dump-after=block_round\n"
	"      platter-block --rounds 1 --count 10K --size 4M [OPTION]...\n"
	"which leaves a file for each round, the first disk's first.\n"
	"Exit status: 0, or 1 after any error.\n";

enum option_key {
	OPT_MODULE = 256, OPT_SCHEDULER, OPT_QUEUE, OPT_OP, OPT_DEPTH, OPT_RANDOM, OPT_SEQUENTIAL, OPT_SIZE, OPT_COUNT, OPT_ROUNDS, OPT_SEED, OPT_JSON,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "scheduler", required_argument, NULL, OPT_SCHEDULER },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "op", required_argument, NULL, OPT_OP },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "random", no_argument, NULL, OPT_RANDOM },
	{ "sequential", no_argument, NULL, OPT_SEQUENTIAL },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static uint64_t parse_number(const char *text, uint64_t least, uint64_t most)
{
	uint64_t number;

	if (size_parse(text, &number) < 0 || number < least || number > most)
		errx(1, "\"%s\" is not a number from %ju to %ju", text, (uintmax_t)least, (uintmax_t)most);
	return number;
}

static bool parse_op(const char *text)
{
	if (strcmp(text, "read") != 0 && strcmp(text, "write") != 0)
		errx(1, "--op is read or write");
	return strcmp(text, "write") == 0;
}

static void add(const char **list, unsigned *count, unsigned most, const char *text)
{
	if (*count == most)
		errx(1, "\"%s\" is one too many", text);
	list[(*count)++] = text;
}

static void parse_option(struct block_options *options, int key)
{
	switch (key) {
	case OPT_MODULE: options->module = optarg; break;
	case OPT_SCHEDULER: add(options->schedulers, &options->scheduler_count, BLOCK_MAX_SUBJECTS, optarg); break;
	case OPT_QUEUE: add(options->settings, &options->setting_count, BLOCK_MAX_SETTINGS, optarg); break;
	case OPT_OP: options->write = parse_op(optarg); break;
	case OPT_DEPTH: options->depth = (unsigned)parse_number(optarg, 1, MAX_DEPTH); break;
	case OPT_RANDOM: options->random = true; break;
	case OPT_SEQUENTIAL: options->random = false; break;
	case OPT_SIZE: options->size = optarg; parse_number(optarg, 4096, INT64_MAX); break;
	case OPT_COUNT: options->count = parse_number(optarg, 1, UINT32_MAX); break;
	case OPT_ROUNDS: options->rounds = (unsigned)parse_number(optarg, 1, MAX_ROUNDS); break;
	case OPT_SEED: options->seed = parse_number(optarg, 1, INT64_MAX); break;
	case OPT_JSON: options->json = true; break;
	case OPT_HELP: fputs(help, stdout); exit(0);
	default: errx(1, "see --help");
	}
}

void block_options_parse(struct block_options *options, int argc, char **argv)
{
	int key;

	*options = (struct block_options){ .random = true, .depth = 32, .count = 1 << 20, .rounds = 5, .seed = 1 };
	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_option(options, key);
	if (optind < argc)
		errx(1, "\"%s\": no such argument, see --help", argv[optind]);
	if (options->module && options->scheduler_count)
		errx(1, "either --module or --scheduler");
	if (!options->size)
		options->size = options->scheduler_count ? "1T" : "64M";
}
