/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "bench/load.h"
#include "common/size.h"

struct figures {
	double iops;
	double mbps;
	double p50, p99, p999, max; /* microseconds */
	double client_us, server_us; /* for one request */
	double client_share, server_share; /* of one CPU */
};

static struct figures figures_of(const struct options *options, const struct result *result, const struct usage *usage)
{
	const struct histogram *latency = &result->latency;
	double requests = (double)result->requests;
	double elapsed = (double)result->elapsed_ns;

	return (struct figures){
		.iops = requests / elapsed * 1e9,
		.mbps = requests * options->block / elapsed * 1e3,
		.p50 = (double)histogram_quantile(latency, 0.5) / 1e3,
		.p99 = (double)histogram_quantile(latency, 0.99) / 1e3,
		.p999 = (double)histogram_quantile(latency, 0.999) / 1e3,
		.max = (double)latency->max / 1e3,
		.client_us = (double)usage->client_ns / requests / 1e3,
		.server_us = (double)usage->server_ns / requests / 1e3,
		.client_share = (double)usage->client_ns / elapsed,
		.server_share = (double)usage->server_ns / elapsed,
	};
}

static void print_json(const struct options *options, const struct result *result, const struct usage *usage)
{
	struct figures f = figures_of(options, result, usage);

	printf("{\"tls\": %s, \"structured\": %s, \"extended\": %s, \"hole_bytes\": %" PRIu64 ", ",
	       options->certificates ? "true" : "false", options->structured ? "true" : "false", options->extended ? "true" : "false",
	       result->hole_bytes);
	printf("\"op\": \"%s\", \"flush\": %s, \"block\": %" PRIu32 ", \"depth\": %u, \"random\": %s, \"connections\": %u, ",
	       options->write ? "write" : "read", options->flush ? "true" : "false", options->block, options->depth,
	       options->random ? "true" : "false", options->connections);
	printf("\"idle\": %u, \"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"seconds\": %.6f, ", options->idle,
	       result->requests, result->errors, (double)result->elapsed_ns / 1e9);
	printf("\"iops\": %.1f, \"MBps\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, ", f.iops,
	       f.mbps, f.p50, f.p99, f.p999);
	printf("\"max_us\": %.2f, \"connect_us\": %.1f, \"client_cpu_us_per_io\": %.4f, \"client_cpu_share\": %.4f, ",
	       f.max, (double)usage->connect_ns / 1e3, f.client_us, f.client_share);
	if (options->server_count)
		printf("\"server_cpu_us_per_io\": %.4f, \"server_cpu_share\": %.4f}\n", f.server_us, f.server_share);
	else
		printf("\"server_cpu_us_per_io\": null, \"server_cpu_share\": null}\n");
}

static void print_line(const struct options *options, const struct result *result, const struct usage *usage)
{
	struct figures f = figures_of(options, result, usage);
	char block[32];

	printf("%s %s%s %s, depth %u, %u connection%s: %.0f IOPS, %.1f MB/s, ", options->random ? "random" : "sequential",
	       options->write ? "write" : "read", options->flush ? " and flush" : "", size_format(block, options->block),
	       options->depth, options->connections, options->connections == 1 ? "" : "s", f.iops, f.mbps);
	printf("p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us, client %.2f us/IO (%.0f %%)", f.p50, f.p99,
	       f.p999, f.max, f.client_us, f.client_share * 100);
	if (options->server_count)
		printf(", server %.2f us/IO (%.0f %%)", f.server_us, f.server_share * 100);
	if (result->hole_bytes)
		printf(", %.0f MB of holes", (double)result->hole_bytes / 1e6);
	if (result->errors)
		printf(", %" PRIu64 " errors", result->errors);
	putchar('\n');
}

void report_print(const struct options *options, const struct result *result, const struct usage *usage)
{
	if (options->json)
		print_json(options, result, usage);
	else
		print_line(options, result, usage);
}
