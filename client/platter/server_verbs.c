/* SPDX-License-Identifier: BSD-2-Clause */
/* exports, info, ping: what a server has, without attaching anything. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "client/platter/link.h"
#include "client/platter/uri.h"
#include "client/platter/verb.h"
#include "client/table.h"
#include "common/clock.h"
#include "common/log.h"

static const struct {
	uint16_t flag;
	const char *name;
} flags[] = {
	{ NBD_FLAG_READ_ONLY, "read-only" },
	{ NBD_FLAG_SEND_FLUSH, "flush" },
	{ NBD_FLAG_SEND_FUA, "fua" },
	{ NBD_FLAG_ROTATIONAL, "rotational" },
	{ NBD_FLAG_SEND_TRIM, "trim" },
	{ NBD_FLAG_SEND_WRITE_ZEROES, "write-zeroes" },
	{ NBD_FLAG_SEND_CACHE, "cache" },
	{ NBD_FLAG_SEND_FAST_ZERO, "fast-zero" },
	{ NBD_FLAG_CAN_MULTI_CONN, "multi-conn" },
};

/* Whether it succeeds or not, link_close() and uri_free() are due. */
static int open_uri(struct link *link, struct uri *uri, const char *text, enum handshake_goal goal, struct problem *problem)
{
	struct dial dial;

	*link = (struct link){ .fd = -1 };
	if (uri_parse(uri, text, problem) < 0 || dial_resolve(&dial, uri, problem) < 0)
		return -1;
	return link_open(link, &dial, uri, goal, -1, problem);
}

/* --- What a server says, of which nothing may be assumed */

/* Whether a terminal shows TEXT and obeys none of it. */
static bool is_line(const char *text)
{
	size_t length = strlen(text), used;
	mbstate_t state = { 0 };
	wchar_t letter;

	for (; length; text += used, length -= used) {
		used = mbrtowc(&letter, text, length, &state);
		if (used == 0 || used > length || iswcntrl((wint_t)letter))
			return false;
	}
	return true;
}

/* TEXT, or what of it can be shown, in ROOM; "-": NULL. */
static const char *shown(char room[NBD_MAX_STRING + 1], const char *text)
{
	if (!text || is_line(text))
		return text ? text : "-";
	return log_printable(room, NBD_MAX_STRING + 1, text, (unsigned)strlen(text));
}

/* JSON is UTF-8; NULL: there is nothing. */
static json_t *string_of(const char *text)
{
	char room[NBD_MAX_STRING + 1];
	json_t *string = text ? json_string(text) : NULL;

	return string || !text ? string : json_string(log_printable(room, sizeof(room), text, (unsigned)strlen(text)));
}

/* --- exports */

static json_t *list_of(const struct handshake *handshake)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < handshake->listed_count; i++)
		json_array_append_new(list, json_pack("{s:o, s:o*}", "name", string_of(handshake->listed[i].name), "description",
						      string_of(handshake->listed[i].description)));
	return list;
}

static void print_list(const struct handshake *handshake)
{
	struct table *table = table_new("NAME DESCRIPTION");
	char room[NBD_MAX_STRING + 1];

	for (unsigned i = 0; i < handshake->listed_count; i++) {
		table_add(table, "%s", shown(room, handshake->listed[i].name));
		table_add(table, "%s", shown(room, handshake->listed[i].description));
	}
	table_print(table);
}

static enum status exports(int argc, char **argv)
{
	struct problem problem;
	enum status status = STATUS_OK;
	struct link link;
	struct uri uri;

	if (argc != 2)
		return verb_usage("exports: which URI?");
	if (open_uri(&link, &uri, argv[1], HANDSHAKE_LIST, &problem) < 0)
		status = verb_failed(argv[0], &problem);
	else if (verb_json)
		status = verb_print(list_of(&link.handshake));
	else
		print_list(&link.handshake);
	link_close(&link);
	uri_free(&uri);
	return status;
}

/* --- info */

static json_t *flag_names(uint16_t set)
{
	json_t *names = json_array();

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (set & flags[i].flag)
			json_array_append_new(names, json_string(flags[i].name));
	return names;
}

static json_t *info_of(const struct link *link)
{
	const struct handshake_export *export = &link->handshake.export;

	return json_pack("{s:s, s:o*, s:o*, s:I, s:I, s:I, s:I, s:s, s:o}", "server", link->peer, "name", string_of(export->name), "description",
			 string_of(export->description), "size", (json_int_t)export->size, "minimum", (json_int_t)export->minimum, "preferred",
			 (json_int_t)export->preferred, "maximum", (json_int_t)export->maximum, "uuid", link->identity, "flags",
			 flag_names(export->flags));
}

static void print_info(const struct link *link)
{
	const struct handshake_export *export = &link->handshake.export;
	char room[NBD_MAX_STRING + 1];

	printf("server       %s\n", link->peer);
	if (export->name)
		printf("name         %s\n", shown(room, export->name));
	if (export->description)
		printf("description  %s\n", shown(room, export->description));
	printf("size         %" PRIu64 "\n", export->size);
	if (export->minimum)
		printf("blocks       minimum %u, preferred %u, maximum %u\n", export->minimum, export->preferred, export->maximum);
	printf("uuid         %s\n", link->identity[0] ? link->identity : "-");
	printf("flags       ");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (export->flags & flags[i].flag)
			printf(" %s", flags[i].name);
	putchar('\n');
}

static enum status info(int argc, char **argv)
{
	struct problem problem;
	enum status status = STATUS_OK;
	struct link link;
	struct uri uri;

	if (argc != 2)
		return verb_usage("info: which URI?");
	if (open_uri(&link, &uri, argv[1], HANDSHAKE_INFO, &problem) < 0)
		status = verb_failed(argv[0], &problem);
	else if (verb_json)
		status = verb_print(info_of(&link));
	else
		print_info(&link);
	link_close(&link);
	uri_free(&uri);
	return status;
}

/* --- ping */

/* One that has an answer to the question for an export is there. */
static int ping_once(const char *text, double *milliseconds, struct problem *problem)
{
	uint64_t begin = clock_ns();
	struct link link;
	struct uri uri;
	int result = open_uri(&link, &uri, text, HANDSHAKE_INFO, problem);

	*milliseconds = (double)(clock_ns() - begin) / 1e6;
	link_close(&link);
	uri_free(&uri);
	return result;
}

static enum status ping(int argc, char **argv)
{
	static const struct option options[] = { { "wait", no_argument, NULL, 'w' }, { NULL, 0, NULL, 0 } };
	const struct timespec pause = { 0, 200000000 };
	double milliseconds;
	struct problem problem;
	bool waits = false;
	int option, result;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'w')
			return verb_usage("ping: %s: not an option", argv[optind - 1]);
		waits = true;
	}
	if (optind + 1 != argc)
		return verb_usage("ping: which URI?");
	while ((result = ping_once(argv[optind], &milliseconds, &problem)) < 0 && waits && problem.status == STATUS_UNREACHABLE)
		nanosleep(&pause, NULL);
	if (result < 0)
		return verb_failed("ping", &problem);
	printf("%.1f ms\n", milliseconds);
	return STATUS_OK;
}

const struct verb server_verbs[] = {
	{ "exports", "URI", "what the server has", exports },
	{ "info", "URI", "what it says of an export", info },
	{ "ping", "[--wait] URI", "whether the export can be had; --wait: once it can", ping },
	{ NULL, NULL, NULL, NULL },
};
