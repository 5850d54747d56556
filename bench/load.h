/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-load: a raw NBD load generator.  One thread, plain sockets or TLS, whole
 * batches a system call, so that the server under test is the bottleneck and
 * not the generator.  load.c shows how the parts fit together.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load_histogram.h"
#include "bench/load_stream.h"

#define LOAD_MAX_EXPORTS 16
#define LOAD_MAX_SERVERS 16
#define LOAD_MAX_DEPTH 1024 /* IOV_MAX: a window of writes goes out with one sendmsg */
#define LOAD_MAX_BLOCK (1u << 20)

/* load_options.c: the command line */

struct options {
	const char *unix_path;
	const char *tcp;
	const char *certificates; /* NULL: no TLS */
	const char *exports[LOAD_MAX_EXPORTS];
	unsigned export_count;
	bool write;
	bool flush;
	bool random;
	bool prepare;
	bool verify;
	bool hold;
	bool structured;
	bool extended;
	bool json;
	uint32_t block;
	uint64_t stride; /* from one offset to the next */
	unsigned depth;
	uint64_t rate;   /* requests a second; 0: as many as go */
	unsigned connections;
	unsigned idle;
	int sndbuf; /* 0: as the system has it */
	double seconds;
	double warmup;
	uint64_t count; /* requests; 0: as many as SECONDS allow */
	uint64_t size;  /* of the region that is read or written */
	uint64_t seed;
	pid_t servers[LOAD_MAX_SERVERS];
	unsigned server_count;
};

/* Ends the program when the command line is wrong or asked for help. */
void options_parse(struct options *options, int argc, char **argv);

/* load_connect.c: from nothing to the transmission phase */

struct export {
	uint64_t size;
	uint16_t flags; /* NBD_FLAG_* */
};

/* A connection past NBD_OPT_GO; ends the program when that fails. */
struct stream load_connect(const struct options *options, const char *export_name, struct export *export);
void load_disconnect(struct stream *stream);
uint64_t load_now_ns(void);

/* load_client.c: requests and replies */

struct job {
	bool write;
	bool flush; /* after each write; the two count as one request */
	bool random;
	bool verify;
	bool structured; /* replies are */
	bool extended;   /* headers are, and that, too */
	uint32_t block;
	uint64_t stride;
	unsigned depth;
	uint64_t seed;
	uint64_t interval_ns;    /* at least, from a connection's request to its next; 0: none */
	uint64_t per_connection; /* requests; UINT64_MAX: until SECONDS have passed, or SIGTERM comes */
	double seconds;
};

struct result {
	uint64_t requests;
	uint64_t errors;
	uint64_t hole_bytes; /* of what was read: told and not sent */
	uint64_t elapsed_ns;
	struct histogram latency; /* in nanoseconds */
};

struct connection;

/* Zeroed memory; ends the program when there is none. */
void *load_allocate(size_t count, size_t size);

/* REGION bytes of STREAM's export are used; it starts at SHARE / SHARES of them when it runs sequentially. */
struct connection *connection_new(struct stream stream, uint64_t region, unsigned share, unsigned shares);
void connection_free(struct connection *connection);

/* Runs JOB on COUNT connections until it is over and every reply is in. */
void load_run(struct connection **connections, unsigned count, const struct job *job, struct result *result);

/* load_cpu.c: what the server used */

/* The CPU time in nanoseconds of the servers and all their descendants, of every thread, those of io_uring included. */
uint64_t servers_cpu_ns(const pid_t *servers, unsigned count);
uint64_t own_cpu_ns(void);

/* load_report.c */

struct usage {
	uint64_t connect_ns; /* of the slowest connection, from connect() to the end of the negotiation */
	uint64_t client_ns;
	uint64_t server_ns;
};

void report_print(const struct options *options, const struct result *result, const struct usage *usage);

#endif
