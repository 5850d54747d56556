/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"
#include "bench/load_data.h"
#include "common/size.h"
#include "common/wire.h"

#define MAX_CONNECTIONS 4096
#define MAX_RATE 1000000000

static const char help[] =
	"Usage: platter-load (--unix PATH | --tcp HOST:PORT) [OPTION]...\n"
	"Loads an NBD server and reports what it did.\n"
	"\n"
	"  --tls-certificates DIR\n"
	"                     TLS 1.3 with AES-128-GCM; the server's certificate, whatever its\n"
	"                     name, has to be signed by DIR/ca-cert.pem; client-cert.pem is\n"
	"                     shown if it is there\n"
	"  --structured       negotiate structured replies, or\n"
	"  --extended         extended headers, which bring them along\n"
	"  --export NAME      the export (\"\"); repeated: connections take them in turn\n"
	"  --op read|write    (read)\n"
	"  --flush            send a FLUSH when a write is answered; the two count as one\n"
	"                     request, whose latency ends with the FLUSH's\n"
	"  --block SIZE       of one request, a multiple of 4K up to 1M (4K)\n"
	"  --depth N          requests in flight on each connection (1)\n"
	"  --random           offsets at random (the default), or\n"
	"  --sequential       one after the other\n"
	"  --stride SIZE      all offsets are multiples of this (of the block)\n"
	"  --size SIZE        use only the first SIZE of the export (the whole, at most 512M)\n"
	"  --seconds S        measure for S seconds (3), or until SIGTERM comes, or\n"
	"  --count N          measure N requests\n"
	"  --rate N           start at most N requests a second, evenly, spread over the\n"
	"                     connections (as many as --depth allows)\n"
	"  --warmup S         run for S seconds before that (0)\n"
	"  --connections N    busy connections (one for each export)\n"
	"  --idle N           open N more before the busy ones and leave them idle (0)\n"
	"  --hold             with all connections open, print \"ready\", wait for the end\n"
	"                     of standard input, and only then begin\n"
	"  --prepare          first write the whole region once\n"
	"  --verify           check what is read against what --prepare or --op write\n"
	"                     with the same seed wrote: the first 16 bytes of each 4K\n"
	"  --seed N           of the data (1)\n"
	"  --sndbuf SIZE      SO_SNDBUF of the generator's sockets (as the system has it).\n"
	"                     Matters only for writes beyond 200K in flight on a unix socket\n"
	"  --server-pid PID   report the CPU time of this process and its descendants;\n"
	"                     may be repeated\n"
	"  --json             print one JSON object\n"
	"\n"
	"MB are 10^6 bytes.  A latency reaches from before the system call that sends a\n"
	"request to after the one that receives the end of its reply.\n"
	"Exit status: 0, or 1 after any error reply, wrong data or protocol error.\n";

enum option_key {
	OPT_UNIX = 256, OPT_TCP, OPT_EXPORT, OPT_OP, OPT_FLUSH, OPT_BLOCK, OPT_DEPTH, OPT_RANDOM, OPT_SEQUENTIAL, OPT_SIZE,
	OPT_SECONDS, OPT_COUNT, OPT_WARMUP, OPT_CONNECTIONS, OPT_IDLE, OPT_HOLD, OPT_PREPARE, OPT_VERIFY, OPT_SEED,
	OPT_SNDBUF, OPT_SERVER_PID, OPT_JSON, OPT_TLS_CERTIFICATES, OPT_STRUCTURED, OPT_EXTENDED, OPT_STRIDE, OPT_RATE, OPT_HELP,
};

static const struct option long_options[] = {
	{ "unix", required_argument, NULL, OPT_UNIX },
	{ "tcp", required_argument, NULL, OPT_TCP },
	{ "tls-certificates", required_argument, NULL, OPT_TLS_CERTIFICATES },
	{ "structured", no_argument, NULL, OPT_STRUCTURED },
	{ "extended", no_argument, NULL, OPT_EXTENDED },
	{ "export", required_argument, NULL, OPT_EXPORT },
	{ "op", required_argument, NULL, OPT_OP },
	{ "flush", no_argument, NULL, OPT_FLUSH },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "random", no_argument, NULL, OPT_RANDOM },
	{ "sequential", no_argument, NULL, OPT_SEQUENTIAL },
	{ "stride", required_argument, NULL, OPT_STRIDE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "hold", no_argument, NULL, OPT_HOLD },
	{ "prepare", no_argument, NULL, OPT_PREPARE },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "sndbuf", required_argument, NULL, OPT_SNDBUF },
	{ "server-pid", required_argument, NULL, OPT_SERVER_PID },
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

static double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 86400))
		errx(1, "\"%s\" is not a number of seconds", text);
	return seconds;
}

static bool parse_op(const char *text)
{
	if (strcmp(text, "read") != 0 && strcmp(text, "write") != 0)
		errx(1, "--op is read or write");
	return strcmp(text, "write") == 0;
}

static void add_export(struct options *options, const char *name)
{
	if (options->export_count == LOAD_MAX_EXPORTS)
		errx(1, "more than %d exports", LOAD_MAX_EXPORTS);
	if (strlen(name) > NBD_MAX_STRING)
		errx(1, "an export's name has at most %d bytes", NBD_MAX_STRING);
	options->exports[options->export_count++] = name;
}

static void add_server(struct options *options, const char *pid)
{
	if (options->server_count == LOAD_MAX_SERVERS)
		errx(1, "more than %d servers", LOAD_MAX_SERVERS);
	options->servers[options->server_count++] = (pid_t)parse_number(pid, 1, INT_MAX);
}

/* What and how much is sent, and how it is measured; whether KEY was one of these. */
static bool parse_load_option(struct options *options, int key)
{
	switch (key) {
	case OPT_OP: options->write = parse_op(optarg); return true;
	case OPT_FLUSH: options->flush = true; return true;
	case OPT_BLOCK: options->block = (uint32_t)parse_number(optarg, STAMP_EVERY, LOAD_MAX_BLOCK); return true;
	case OPT_DEPTH: options->depth = (unsigned)parse_number(optarg, 1, LOAD_MAX_DEPTH); return true;
	case OPT_RANDOM: options->random = true; return true;
	case OPT_SEQUENTIAL: options->random = false; return true;
	case OPT_STRIDE: options->stride = parse_number(optarg, STAMP_EVERY, INT64_MAX); return true;
	case OPT_RATE: options->rate = parse_number(optarg, 1, MAX_RATE); return true;
	case OPT_SIZE: options->size = parse_number(optarg, STAMP_EVERY, INT64_MAX); return true;
	case OPT_SECONDS: options->seconds = parse_seconds(optarg); return true;
	case OPT_COUNT: options->count = parse_number(optarg, 1, INT64_MAX); return true;
	case OPT_WARMUP: options->warmup = parse_seconds(optarg); return true;
	case OPT_PREPARE: options->prepare = true; return true;
	case OPT_VERIFY: options->verify = true; return true;
	case OPT_SEED: options->seed = parse_number(optarg, 0, INT64_MAX); return true;
	default: return false;
	}
}

static void parse_option(struct options *options, int key)
{
	if (parse_load_option(options, key))
		return;
	switch (key) {
	case OPT_UNIX: options->unix_path = optarg; break;
	case OPT_TCP: options->tcp = optarg; break;
	case OPT_TLS_CERTIFICATES: options->certificates = optarg; break;
	case OPT_STRUCTURED: options->structured = true; break;
	case OPT_EXTENDED: options->structured = options->extended = true; break;
	case OPT_EXPORT: add_export(options, optarg); break;
	case OPT_CONNECTIONS: options->connections = (unsigned)parse_number(optarg, 1, MAX_CONNECTIONS); break;
	case OPT_IDLE: options->idle = (unsigned)parse_number(optarg, 0, 1u << 20); break;
	case OPT_HOLD: options->hold = true; break;
	case OPT_SNDBUF: options->sndbuf = (int)parse_number(optarg, 1, INT_MAX); break;
	case OPT_SERVER_PID: add_server(options, optarg); break;
	case OPT_JSON: options->json = true; break;
	case OPT_HELP: fputs(help, stdout); exit(0);
	default: errx(1, "see --help");
	}
}

static void check(const struct options *options)
{
	if (options->block % STAMP_EVERY || options->stride % STAMP_EVERY)
		errx(1, "--block and --stride are multiples of 4K");
	if (options->stride < options->block)
		errx(1, "--stride is at least --block");
	if (options->write && options->verify)
		errx(1, "--verify is for reads");
	if (options->flush && !options->write)
		errx(1, "--flush is for writes");
}

void options_parse(struct options *options, int argc, char **argv)
{
	int key;

	*options = (struct options){ .random = true, .block = 4096, .depth = 1, .seconds = 3, .seed = 1 };
	while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_option(options, key);
	if (optind < argc)
		errx(1, "\"%s\": no such argument, see --help", argv[optind]);
	if (!options->unix_path == !options->tcp)
		errx(1, "either --unix or --tcp is needed, see --help");
	if (options->stride == 0)
		options->stride = options->block;
	check(options);
	if (options->export_count == 0)
		add_export(options, "");
	if (options->connections == 0)
		options->connections = options->export_count;
	if (options->connections < options->export_count)
		errx(1, "each export needs a connection");
}
