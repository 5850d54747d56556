/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-session: what a read costs from its bytes to those of its reply, without sockets and the ring: a session of
 * the daemon's on a RAM disk, once with simple replies and, in the same run, once with structured ones.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/size.h"
#include "plugins/builtin.h"
#include "server/block/args.h"
#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/export.h"
#include "server/block/request.h"
#include "server/nbd/session.h"

#define BLOCK 4096u
#define DISK_BLOCKS 1024u
#define DISK "4M" /* DISK_BLOCKS of them */
#define MOST_DEPTH 256
#define MOST_ROUNDS 1000
#define MEMORY_LIMIT (UINT64_C(1) << 30)

static const char help[] =
	"Usage: platter-session [OPTION]...\n"
	"Feeds reads of 4 KiB at random to an NBD session of platterd's on a RAM disk, without\n"
	"a network, and reports the CPU time that one takes with simple and with structured\n"
	"replies.\n"
	"\n"
	"  --depth N   requests that come together (32)\n"
	"  --count N   requests of a round (1M)\n"
	"  --rounds N  of each kind, in turn (5)\n"
	"  --json      print one JSON object with every round's figure\n"
	"\n"
	"Instructions, unlike time, are the same in every run.  To count them:\n"
	"  valgrind --tool=callgrind --toggle-collect=session_round --dump-after=session_round\n"
	"      platter-session --rounds 1 --count 10K\n"
	"which leaves a file for each kind, simple replies' first.\n"
	"Exit status: 0, or 1 after any error.\n";

struct options {
	unsigned depth, rounds;
	uint64_t count;
	bool json;
};

/* One kind of replies. */
struct subject {
	const char *name;
	size_t reply; /* bytes of one */
	struct nbd_session session;
	uint64_t random;
	uint64_t ended, wrong; /* replies so far */
	double ns[MOST_ROUNDS]; /* for one request; a figure for each round */
};

static uint64_t parse_number(const char *text, uint64_t most)
{
	uint64_t number;

	if (size_parse(text, &number) < 0 || number < 1 || number > most)
		errx(1, "\"%s\" is not a number from 1 to %" PRIu64, text, most);
	return number;
}

static void parse_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "depth", required_argument, NULL, 'd' }, { "count", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'r' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 },
	};
	int key;

	*options = (struct options){ .depth = 32, .count = 1 << 20, .rounds = 5 };
	while ((key = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (key) {
		case 'd': options->depth = (unsigned)parse_number(optarg, MOST_DEPTH); break;
		case 'c': options->count = parse_number(optarg, UINT32_MAX); break;
		case 'r': options->rounds = (unsigned)parse_number(optarg, MOST_ROUNDS); break;
		case 'j': options->json = true; break;
		case 'h': fputs(help, stdout); exit(0);
		default: errx(1, "see --help");
		}
	}
	if (optind < argc)
		errx(1, "\"%s\": no such argument, see --help", argv[optind]);
}

static void no_notice(struct nbd_session *session)
{
	(void)session;
}

static void no_memory(struct budget_waiter *waiter)
{
	(void)waiter;
	errx(1, "out of memory");
}

/* Returns replies as a connection that has sent them. */
static void take_replies(struct subject *subject)
{
	struct list_head *node;

	while ((node = list_pop(&subject->session.replies))) {
		struct request *request = container_of(node, struct request, link);

		subject->ended++;
		subject->wrong += request->error || request->answer_length != subject->reply;
		nbd_sent(&subject->session, request);
	}
}

static void feed(struct subject *subject, const uint8_t *bytes, size_t length)
{
	struct nbd_session *session = &subject->session;

	while (length) {
		size_t used = nbd_feed(session, bytes, length);

		if (used == 0 || session->want != NBD_WANT_BYTES)
			errx(1, "%s: the session wants something else (%d)", subject->name, (int)session->want);
		bytes += used;
		length -= used;
	}
	do {
		block_dispatch(session->block);
	} while (block_has_work(session->block));
	take_replies(subject);
}

static void put_request(uint8_t *at, uint16_t flags, uint16_t type, uint64_t offset, uint32_t length)
{
	put_be32(at, NBD_REQUEST_MAGIC);
	put_be16(at + 4, flags);
	put_be16(at + 6, type);
	put_be64(at + 8, offset);
	put_be64(at + 16, offset);
	put_be32(at + 24, length);
}

/* Callgrind counts in this function, by its name, and in what it calls; its CPU time in ns. */
uint64_t session_round(struct subject *subject, uint64_t count, unsigned depth);

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

uint64_t session_round(struct subject *subject, uint64_t count, unsigned depth)
{
	uint8_t batch[MOST_DEPTH * NBD_REQUEST_SIZE];
	uint64_t start = cpu_ns();

	while (count) {
		unsigned size = count < depth ? (unsigned)count : depth;

		for (unsigned i = 0; i < size; i++) { /* xorshift64* */
			subject->random ^= subject->random >> 12;
			subject->random ^= subject->random << 25;
			subject->random ^= subject->random >> 27;
			put_request(batch + i * NBD_REQUEST_SIZE, 0, NBD_CMD_READ,
				    subject->random * UINT64_C(0x2545f4914f6cdd1d) % DISK_BLOCKS * BLOCK, BLOCK);
		}
		feed(subject, batch, size * NBD_REQUEST_SIZE);
		count -= size;
	}
	return cpu_ns() - start;
}

/* So that there is data everywhere: zeroes that aren't holes. */
static void fill(struct subject *subject)
{
	uint8_t request[NBD_REQUEST_SIZE];

	put_request(request, NBD_CMD_FLAG_NO_HOLE, NBD_CMD_WRITE_ZEROES, 0, DISK_BLOCKS * BLOCK);
	feed(subject, request, sizeof(request));
	subject->ended = subject->wrong = 0;
}

static size_t put_option(uint8_t *at, uint32_t option, const void *data, uint32_t length)
{
	put_be64(at, NBD_OPTS_MAGIC);
	put_be32(at + 8, option);
	put_be32(at + 12, length);
	memcpy(at + NBD_OPTION_HEADER_SIZE, data, length);
	return NBD_OPTION_HEADER_SIZE + length;
}

static void negotiate(struct subject *subject, struct disk *disk, bool structured)
{
	static const uint8_t by_default[6];
	struct nbd_session *session = &subject->session;
	struct platter_error error = { "" };
	uint8_t bytes[64];
	size_t length = NBD_CLIENT_FLAGS_SIZE, used = 0;

	put_be32(bytes, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	if (structured)
		length += put_option(bytes + length, NBD_OPT_STRUCTURED_REPLY, "", 0);
	length += put_option(bytes + length, NBD_OPT_GO, by_default, sizeof(by_default));
	while (used < length && session->want == NBD_WANT_BYTES)
		used += nbd_feed(session, bytes + used, length - used);
	if (session->want != NBD_WANT_OPEN || disk_open_wait(disk, &error) < 0)
		errx(1, "%s: the negotiation failed: %s", subject->name, error.text);
	nbd_opened(session, 0, NULL);
	output_free(&session->out);
	if (session->state != NBD_STATE_TRANSMISSION)
		errx(1, "%s: the negotiation failed", subject->name);
}

static void prepare(struct subject *subject, struct block *block, struct disk *disk, bool structured)
{
	*subject = (struct subject){
		.name = structured ? "structured" : "simple",
		.reply = (structured ? NBD_CHUNK_HEADER_SIZE + 8 : NBD_SIMPLE_REPLY_SIZE) + BLOCK,
		.random = 1,
	};
	nbd_init(&subject->session, block, NBD_TLS_OFF, no_notice, no_memory);
	negotiate(subject, disk, structured);
	fill(subject);
}

static struct disk *open_ram(void)
{
	struct platter_error error = { "" };
	struct args *args = args_new();
	const struct platter_driver *driver;
	struct disk *disk;

	if (!args || platter_register_driver(&ram_driver) < 0)
		errx(1, "out of memory");
	driver = driver_get(ram_driver.name);
	if (args_set(args, driver, "size", DISK, &error) < 0 || disk_add(&disk, driver, NULL, NULL, args, false, &error) < 0)
		errx(1, "%s", error.text);
	driver_put(driver);
	if (export_add("ram", NULL, NULL, disk, false, false, NULL) < 0)
		errx(1, "out of memory");
	return disk;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(struct subject *subject, const struct options *options, bool first)
{
	if (options->json) {
		printf("%s\"%s\": [", first ? "{" : ", ", subject->name);
		for (unsigned i = 0; i < options->rounds; i++)
			printf("%s%.3f", i ? ", " : "", subject->ns[i]);
		printf(first ? "]" : "]}\n");
		return;
	}
	qsort(subject->ns, options->rounds, sizeof(subject->ns[0]), compare);
	printf("%-10s %8.1f ns a request (%.1f..%.1f)\n", subject->name, subject->ns[options->rounds / 2], subject->ns[0],
	       subject->ns[options->rounds - 1]);
}

/* A figure is worth nothing when replies got lost or weren't what they should be. */
static void check(const struct subject *subject, const struct options *options)
{
	if (subject->ended != options->count * options->rounds || subject->wrong)
		errx(1, "%s: %" PRIu64 " replies, %" PRIu64 " of them wrong", subject->name, subject->ended, subject->wrong);
}

int main(int argc, char **argv)
{
	static struct subject subjects[2];
	struct options options;
	struct pool *control;
	struct block block;
	struct disk *disk;

	parse_options(&options, argc, argv);
	log_open("platter-session", LOG_LEVEL_WARNING);
	if (pool_create(&control, "control", 1) < 0)
		errx(1, "out of memory");
	block_init(&block, 0, MEMORY_LIMIT);
	block_set_self(&block);
	disk_init(1, control, NULL, NULL); /* no reactor is called: the disk goes at the end */
	disk = open_ram();
	for (unsigned i = 0; i < 2; i++)
		prepare(&subjects[i], &block, disk, i == 1);
	for (unsigned i = 0; i < options.rounds; i++)
		for (unsigned j = 0; j < 2; j++)
			subjects[j].ns[i] = (double)session_round(&subjects[j], options.count, options.depth) / (double)options.count;
	for (unsigned i = 0; i < 2; i++) {
		check(&subjects[i], &options);
		print(&subjects[i], &options, i == 0);
		nbd_destroy(&subjects[i].session);
		disk_release(disk);
	}
	disk_put(disk);
	pool_destroy(control);
	export_remove_all();
	disk_remove_all();
	driver_exit();
	block_destroy(&block);
}
