/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-writes: the ways in which the daemon could write to a file through
 * the page cache, one beside the other: at once on its own thread, in batches
 * on a thread of the I/O pool, or by the ring.  It uses the daemon's engine and
 * pool, and nothing else of it.  server/host/fd_io.c has the choice.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/size.h"
#include "server/engine/engine.h"
#include "server/engine/pool.h"

#define MAX_DEPTH 1024
#define MAX_ROUNDS 99

static const char help[] =
	"Usage: platter-writes [OPTION]... FILE\n"
	"Overwrites FILE at random, through the page cache, in each way that a server could,\n"
	"and reports how fast that was.  A FILE that isn't there is made, and removed again.\n"
	"\n"
	"  --size SIZE    of the part that is written, and of a FILE that is made (256M)\n"
	"  --block SIZE   of one write (4K)\n"
	"  --depth N      writes in flight (32)\n"
	"  --rounds N     of all ways, one after the other (5)\n"
	"  --seconds S    of one measurement (1)\n"
	"\n"
	"What was written is synced between the measurements.\n"
	"Exit status: 0, or 1 after any error.\n";

struct options {
	const char *file;
	uint64_t size, block;
	unsigned depth, rounds;
	double seconds;
};

struct run;

struct slot {
	struct engine_op op;
	struct run *run;
	struct iovec iov;
};

/* One measurement. */
struct run {
	const struct options *options;
	struct engine *engine;
	struct pool *pool;
	struct pool_job job;
	struct slot *slots;
	int fd;
	uint64_t random, end; /* CLOCK_MONOTONIC, ns */
	uint64_t written;     /* requests */
	unsigned in_flight;
};

static uint64_t next_offset(struct run *run)
{
	uint64_t blocks = run->options->size / run->options->block;

	/* xorshift64* */
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return (uint64_t)(((unsigned __int128)(run->random * UINT64_C(0x2545f4914f6cdd1d)) * blocks) >> 64) * run->options->block;
}

static void check(const struct run *run, ssize_t result)
{
	if (result != (ssize_t)run->options->block)
		errx(1, "%s: a write of %ju bytes: %s", run->options->file, (uintmax_t)run->options->block,
		     result < 0 ? strerror((int)-result) : "short");
}

static void write_batch(struct run *run)
{
	for (unsigned i = 0; i < run->options->depth; i++) {
		ssize_t result = pwritev2(run->fd, &run->slots[i].iov, 1, (off_t)next_offset(run), 0);

		check(run, result < 0 ? -errno : result);
	}
	run->written += run->options->depth;
}

static void run_inline(struct run *run)
{
	while (clock_ns() < run->end)
		write_batch(run);
}

static void job_run(struct pool_job *job)
{
	write_batch(container_of(job, struct run, job));
}

static void job_back(struct engine_message *message)
{
	struct run *run = container_of(message, struct run, job.message);

	run->in_flight = 0;
}

static void run_pool(struct run *run)
{
	while (clock_ns() < run->end) {
		run->in_flight = run->options->depth;
		run->job = (struct pool_job){ .run = job_run, .engine = run->engine, .message = { .run = job_back } };
		pool_run(run->pool, &run->job);
		while (run->in_flight)
			engine_wait(run->engine, false);
	}
}

static void ring_write(struct slot *slot)
{
	engine_writev(slot->run->engine, &slot->op, slot->run->fd, &slot->iov, 1, next_offset(slot->run), 0);
	slot->run->in_flight++;
}

static void ring_done(struct engine_op *op, int result)
{
	struct slot *slot = container_of(op, struct slot, op);
	struct run *run = slot->run;

	check(run, result);
	run->in_flight--;
	run->written++;
	if (clock_ns() < run->end)
		ring_write(slot);
}

static void run_ring(struct run *run)
{
	for (unsigned i = 0; i < run->options->depth; i++)
		ring_write(&run->slots[i]);
	while (run->in_flight)
		engine_wait(run->engine, false);
}

static const struct way {
	const char *name;
	void (*run)(struct run *run);
} ways[] = {
	{ "at once", run_inline },
	{ "pool, in batches", run_pool },
	{ "ring", run_ring },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct figure {
	double rate, cpu_us; /* writes a second; CPU time of one, the kernel's workers included */
};

static struct figure measure(struct run *run, const struct way *way)
{
	uint64_t start, cpu;
	struct timespec now;
	struct figure figure;

	if (fdatasync(run->fd) < 0)
		err(1, "%s", run->options->file);
	run->written = 0;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	cpu = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	start = clock_ns();
	run->end = start + (uint64_t)(run->options->seconds * 1e9);
	way->run(run);
	figure.rate = (double)run->written * 1e9 / (double)(clock_ns() - start);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	figure.cpu_us = (double)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - cpu) / 1000 / (double)run->written;
	return figure;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *name, struct figure figures[MAX_ROUNDS], unsigned rounds)
{
	double rates[MAX_ROUNDS], cpu[MAX_ROUNDS];

	for (unsigned i = 0; i < rounds; i++) {
		rates[i] = figures[i].rate;
		cpu[i] = figures[i].cpu_us;
	}
	qsort(rates, rounds, sizeof(rates[0]), by_value);
	qsort(cpu, rounds, sizeof(cpu[0]), by_value);
	printf("%-18s %9.0f writes/s  %8.0f..%-8.0f  %6.2f us CPU each\n", name, rates[rounds / 2], rates[0], rates[rounds - 1],
	       cpu[rounds / 2]);
}

static uint64_t parse_number(const char *text, uint64_t least, uint64_t most)
{
	uint64_t number;

	if (size_parse(text, &number) < 0 || number < least || number > most)
		errx(1, "\"%s\" is not a number from %ju to %ju", text, (uintmax_t)least, (uintmax_t)most);
	return number;
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "size", required_argument, NULL, 's' },    { "block", required_argument, NULL, 'b' },
		{ "depth", required_argument, NULL, 'd' },   { "rounds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int key;

	*options = (struct options){ .size = 256 << 20, .block = 4096, .depth = 32, .rounds = 5, .seconds = 1 };
	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (key) {
		case 's': options->size = parse_number(optarg, 4096, INT64_MAX); break;
		case 'b': options->block = parse_number(optarg, 1, 1 << 20); break;
		case 'd': options->depth = (unsigned)parse_number(optarg, 1, MAX_DEPTH); break;
		case 'r': options->rounds = (unsigned)parse_number(optarg, 1, MAX_ROUNDS); break;
		case 't': options->seconds = strtod(optarg, NULL); break;
		case 'h': fputs(help, stdout); exit(0);
		default: errx(1, "see --help");
		}
	}
	if (argc - optind != 1 || options->size < options->block || !(options->seconds > 0))
		errx(1, "see --help");
	options->file = argv[optind];
}

/* Each block of it is there and in the page cache. */
static void fill(struct run *run)
{
	for (uint64_t at = 0; at + run->options->block <= run->options->size; at += run->options->block) {
		ssize_t result = pwrite(run->fd, run->slots[0].iov.iov_base, run->options->block, (off_t)at);

		check(run, result < 0 ? -errno : result);
	}
}

/* The file, which goes with the process if it wasn't there, and the data. */
static void prepare(struct run *run)
{
	const struct options *options = run->options;
	struct stat status;
	bool made = stat(options->file, &status) < 0;

	run->fd = open(options->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (run->fd < 0)
		err(1, "%s", options->file);
	if (made)
		unlink(options->file);
	run->slots = calloc(options->depth, sizeof(run->slots[0]));
	for (unsigned i = 0; run->slots && i < options->depth; i++) {
		void *data = calloc(1, options->block);

		if (!data)
			errx(1, "out of memory");
		run->slots[i] = (struct slot){ .op = { .done = ring_done }, .run = run, .iov = { data, options->block } };
	}
	if (!run->slots)
		errx(1, "out of memory");
	fill(run);
}

static void put_away(struct run *run)
{
	pool_destroy(run->pool);
	engine_destroy(run->engine);
	for (unsigned i = 0; i < run->options->depth; i++)
		free(run->slots[i].iov.iov_base);
	free(run->slots);
	close(run->fd);
}

int main(int argc, char **argv)
{
	static struct figure figures[WAYS][MAX_ROUNDS];
	struct options options;
	struct run run = { .options = &options, .random = 88172645463325252 };
	int result;

	parse(&options, argc, argv);
	prepare(&run);
	result = engine_create(&run.engine, &(struct engine_config){ 0 });
	if (result < 0)
		errx(1, "%s", engine_refusal(result));
	if (pool_create(&run.pool, "write", 1) < 0)
		errx(1, "no thread");
	for (unsigned round = 0; round < options.rounds; round++)
		for (unsigned i = 0; i < WAYS; i++) {
			unsigned way = (i + round) % WAYS;

			figures[way][round] = measure(&run, &ways[way]);
		}
	for (unsigned i = 0; i < WAYS; i++)
		report(ways[i].name, figures[i], options.rounds);
	put_away(&run);
	return 0;
}
