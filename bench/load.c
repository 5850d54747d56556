/* SPDX-License-Identifier: BSD-2-Clause */
/* platter-load's steps: connect, prepare, warm up, measure, report. */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load.h"
#include "common/wire.h"

#define DEFAULT_REGION (UINT64_C(512) << 20)
#define PREPARE_BLOCK (128u << 10)
#define PREPARE_DEPTH 8

static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static struct stream *open_idle(const struct options *options)
{
	struct stream *streams = load_allocate(options->idle, sizeof(*streams));
	struct export export;

	for (unsigned i = 0; i < options->idle; i++)
		streams[i] = load_connect(options, options->exports[i % options->export_count], &export);
	return streams;
}

static void close_idle(const struct options *options, struct stream *streams)
{
	char byte;

	for (unsigned i = 0; i < options->idle; i++) {
		if (stream_receive(&streams[i], &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
			errx(1, "the server didn't leave the idle connections alone");
		load_disconnect(&streams[i]);
	}
	free(streams);
}

/* The bytes of an export that are used: whole strides. */
static uint64_t region_of(const struct options *options, const char *name, const struct export *export)
{
	uint64_t region = options->size ? options->size : DEFAULT_REGION;

	if (options->size > export->size)
		errx(1, "export \"%s\" has only %" PRIu64 " bytes", name, export->size);
	if (region > export->size)
		region = export->size;
	region -= region % options->stride;
	if (region == 0)
		errx(1, "export \"%s\" is smaller than a block", name);
	if ((options->write || options->prepare) && (export->flags & NBD_FLAG_READ_ONLY))
		errx(1, "export \"%s\" is read-only", name);
	if (options->flush && !(export->flags & NBD_FLAG_SEND_FLUSH))
		errx(1, "export \"%s\" takes no FLUSH", name);
	return region;
}

/* One region for all, so that a job's count is the same for each. */
static uint64_t open_connections(const struct options *options, struct connection **connections, struct usage *usage)
{
	uint64_t smallest = UINT64_MAX;
	struct stream *streams = load_allocate(options->connections, sizeof(*streams));

	for (unsigned i = 0; i < options->connections; i++) {
		const char *name = options->exports[i % options->export_count];
		uint64_t start = load_now_ns();
		struct export export;
		uint64_t region, took;

		streams[i] = load_connect(options, name, &export);
		took = load_now_ns() - start;
		if (took > usage->connect_ns)
			usage->connect_ns = took;
		region = region_of(options, name, &export);
		if (region < smallest)
			smallest = region;
	}
	for (unsigned i = 0; i < options->connections; i++)
		connections[i] = connection_new(streams[i], smallest, i, options->connections);
	free(streams);
	return smallest;
}

static void hold(void)
{
	char byte;

	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* The first connections are one for each export. */
static void prepare(const struct options *options, struct connection **connections, uint64_t region,
		    struct result *result)
{
	struct job job = {
		.write = true,
		.structured = options->structured,
		.extended = options->extended,
		.block = PREPARE_BLOCK,
		.depth = PREPARE_DEPTH,
		.seed = options->seed,
	};

	while (region % job.block)
		job.block /= 2;
	job.stride = job.block;
	job.per_connection = region / job.block;
	load_run(connections, options->export_count, &job, result);
}

static void measure(const struct options *options, struct connection **connections, struct result *result,
		    struct usage *usage)
{
	struct job job = {
		.write = options->write,
		.flush = options->flush,
		.random = options->random,
		.verify = options->verify,
		.structured = options->structured,
		.extended = options->extended,
		.block = options->block,
		.stride = options->stride,
		.depth = options->depth,
		.seed = options->seed,
		.per_connection = UINT64_MAX,
		.interval_ns = options->rate ? UINT64_C(1000000000) * options->connections / options->rate : 0,
		.seconds = options->warmup,
	};

	if (options->warmup > 0) {
		load_run(connections, options->connections, &job, result);
		if (result->errors)
			return;
	}
	if (options->count)
		job.per_connection = (options->count + options->connections - 1) / options->connections;
	job.seconds = options->seconds;
	usage->client_ns = own_cpu_ns();
	usage->server_ns = servers_cpu_ns(options->servers, options->server_count);
	load_run(connections, options->connections, &job, result);
	usage->client_ns = own_cpu_ns() - usage->client_ns;
	usage->server_ns = servers_cpu_ns(options->servers, options->server_count) - usage->server_ns;
}

int main(int argc, char **argv)
{
	static struct result result;
	struct connection **connections;
	struct options options;
	struct usage usage = { 0 };
	uint64_t region;
	struct stream *idle;

	options_parse(&options, argc, argv);
	allow_many_files();
	connections = load_allocate(options.connections, sizeof(struct connection *));
	idle = open_idle(&options);
	region = open_connections(&options, connections, &usage);
	if (options.hold)
		hold();
	if (options.prepare)
		prepare(&options, connections, region, &result);
	if (result.errors == 0) {
		measure(&options, connections, &result, &usage);
		report_print(&options, &result, &usage);
	}
	close_idle(&options, idle);
	for (unsigned i = 0; i < options.connections; i++)
		connection_free(connections[i]);
	free(connections);
	return result.errors ? 1 : 0;
}
