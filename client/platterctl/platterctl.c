/* SPDX-License-Identifier: BSD-2-Clause */
/* platterctl: administers a running platterd, with the verbs of the kernel's own tools. */
#include <config.h>

#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/table.h"
#include "client/platterctl/verb.h"
#include "common/log.h"

/* How long --drain waits that was told no time. */
#define DRAIN_SECONDS 30

bool verb_json;

static const struct verb *const tables[] = { list_verbs, stats_verbs, change_verbs, queue_verbs, mark_verbs, module_verbs, file_verbs,
					   log_verbs };

static const char usage_head[] =
	"Usage: platterctl [--socket=PATH] [--json] VERB [ARGUMENT...]\n"
	"Administer a running platterd.\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"      --socket=PATH  the server's control socket (/run/platter/control.sock, or\n"
	"                     $XDG_RUNTIME_DIR/platter/control.sock for a user other than root)\n"
	"      --json         print the answer as JSON\n"
	"      --version      print the version\n"
	"  -h, --help         print this\n"
	"\n"
	"Exit status: 0; 1 when the server refused; 2 for a wrong command line; 3 when\n"
	"no server answers.\n";

static int print_help(void)
{
	fputs(usage_head, stdout);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			int used = printf("  %s %s", verb->name, verb->arguments);

			printf("%*s%s\n", used < 40 ? 40 - used : 1, "", verb->help);
		}
	}
	fputs(usage_tail, stdout);
	return CALL_OK;
}

int verb_usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s; see platterctl --help", text);
	return CALL_USAGE;
}

int verb_no_arguments(int argc, char **argv)
{
	return argc == 1 ? CALL_OK : verb_usage("%s: %s: not expected", argv[0], argv[1]);
}

void verb_print(json_t *result, struct table *table)
{
	if (verb_json && result) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
		table_free(table);
	} else if (table) {
		table_print(table);
	}
	json_decref(result);
}

static bool parse_drain(const char *text, long *seconds)
{
	char *end;

	if (!text) {
		*seconds = DRAIN_SECONDS;
		return true;
	}
	*seconds = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0';
}

/* Takes --drain[=SECONDS] out of ARGV; the index of the first argument, or -1 with the complaint made. */
static int take_drain(int argc, char **argv, long *seconds)
{
	static const struct option options[] = { { "drain", optional_argument, NULL, 'd' }, { NULL, 0, NULL, 0 } };
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd' && parse_drain(optarg, seconds))
			continue;
		verb_usage("%s: not an option, or not a number of seconds", argv[optind - 1]);
		return -1;
	}
	return optind;
}

int verb_ended_at(int status, const char *which, bool last)
{
	if (status != CALL_OK && !last)
		log_error("that was %s; what stands behind it was not tried", which);
	return status;
}

static int remove_one(const char *verb, const char *method, const char *name, long drain)
{
	json_t *params = json_pack("{s:s, s:I}", "name", name, "drain", (json_int_t)drain);
	json_t *result = NULL;
	int status;

	if (!params)
		return verb_usage("%s: %s: not UTF-8", verb, name);
	status = call_method(method, params, &result);
	verb_print(result, NULL);
	return status;
}

int verb_remove(int argc, char **argv, const char *verb, const char *method, int (*done)(const char *name))
{
	int status = CALL_OK;
	long drain = 0;
	int first = take_drain(argc, argv, &drain);

	if (first < 0)
		return CALL_USAGE;
	if (first == argc)
		return verb_usage("%s: which?", verb);
	for (int i = first; i < argc && status == CALL_OK; i++) {
		status = remove_one(verb, method, argv[i], drain);
		if (status == CALL_OK && done)
			status = done(argv[i]);
		status = verb_ended_at(status, argv[i], i + 1 == argc);
	}
	return status;
}

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct verb *verb = tables[i]; verb->name; verb++)
			if (strcmp(verb->name, name) == 0)
				return verb;
	return NULL;
}

/* An option of platterctl itself, which may stand anywhere before "--"; false when ARG is none. */
static bool take_option(const char *arg)
{
	static const char socket_option[] = "--socket=";

	if (strcmp(arg, "--json") == 0)
		verb_json = true;
	else if (strncmp(arg, socket_option, sizeof(socket_option) - 1) == 0)
		call_set_socket(arg + sizeof(socket_option) - 1);
	else
		return false;
	return true;
}

/* Takes them out of ARGV; the new argc. */
static int take_options(int argc, char **argv)
{
	int kept = 1;
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
			call_set_socket(argv[++i]);
		else if (!take_option(argv[i]))
			argv[kept++] = argv[i];
	}
	while (i < argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	return kept;
}

static int run(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2)
		return verb_usage("a verb is missing");
	/* Also behind a verb, where people ask for it. */
	if (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0) {
		puts("platterctl " PACKAGE_VERSION);
		return CALL_OK;
	}
	verb = find(argv[1]);
	return verb ? verb->run(argc - 1, argv + 1) : verb_usage("%s: not a verb", argv[1]);
}

int main(int argc, char **argv)
{
	int status;

	setlocale(LC_CTYPE, "");
	log_open("platterctl", LOG_LEVEL_NOTICE);
	status = run(take_options(argc, argv), argv);
	if (fflush(stdout) != 0 && status == CALL_OK) {
		log_error("standard output cannot be written");
		status = CALL_REFUSED;
	}
	return status;
}
