/* SPDX-License-Identifier: BSD-2-Clause */
/* platter: attaches exports of NBD servers as the kernel's block devices, and keeps them alive. */
#include <config.h>

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/platter/mount.h"
#include "client/platter/verb.h"
#include "common/log.h"

bool verb_json;

static const struct verb *const tables[] = { attach_verbs, list_verbs, server_verbs, check_verbs };

static const char usage_head[] =
	"Usage: platter [--json] VERB [ARGUMENT...]\n"
	"Attach exports of NBD servers as block devices, and keep them alive.\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"A URI is nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH; with TLS\n"
	"it begins with nbds. A DEVICE is the name given by --name, or nbd0, /dev/nbd0.\n"
	"\n"
	"Options of attach:\n"
	"      --name=NAME         what it is called here (the export's name)\n"
	"      --device=nbdN       this device instead of one that is free\n"
	"      --read-only         nobody writes to it\n"
	"      --connections=N     at most so many (4, or as many as processors)\n"
	"      --timeout=S         seconds that a request may take before its connection\n"
	"                          is given up (30)\n"
	"      --dead-timeout=S    seconds that requests wait for a server that has gone\n"
	"                          before they fail (300); infinity\n"
	"      --tls-certificates=DIR  ca-cert.pem, client-cert.pem, client-key.pem\n"
	"      --tls-psk=FILE      a file of keys, one of which is USER's in nbds://USER@...\n"
	"      --tls-hostname=NAME what the server's certificate has to be for\n"
	"      --tls-trust-any     encrypt, whoever the server is\n"
	"      --no-wait           return before it is there; go on until the server is\n"
	"      --foreground        stay, and keep it alive, instead of having a service do so\n"
	"\n"
	"Options of detach:\n"
	"      --force             whoever uses it loses what the server hasn't got yet\n"
	"      --umount            unmount what is mounted from it, and end swap\n"
	"      --wait[=S]          until nobody uses it, so many seconds at most (30)\n"
	"      --all               everything that is attached\n"
	"\n"
	"      --json         print listings as JSON\n"
	"      --version      print the version\n"
	"  -h, --help         print this\n"
	"\n"
	"Exit status: 0; 1 for what is none of these: 2 wrong command line or configuration,\n"
	"3 not attached, 4 not permitted, 5 in use, 6 the name is something else's,\n"
	"7 no server answers, 8 the server refuses, 9 TLS, 10 not ready in time,\n"
	"11 the kernel can't, 12 attached with dead connections.\n";

static enum status print_help(void)
{
	fputs(usage_head, stdout);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			int used = printf("  %s %s", verb->name, verb->arguments);

			printf("%*s%s\n", used < 40 ? 40 - used : 1, "", verb->help);
		}
	}
	fputs(usage_tail, stdout);
	return STATUS_OK;
}

enum status verb_usage(const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s; see platter --help", text);
	return STATUS_USAGE;
}

enum status verb_failed(const char *verb, const struct problem *problem)
{
	log_error("%s: %s", verb, problem->text);
	return problem->status;
}

enum status verb_print(json_t *value)
{
	if (!value || json_dumpf(value, stdout, JSON_INDENT(2)) < 0) {
		log_error("no memory");
		json_decref(value);
		return STATUS_FAILED;
	}
	putchar('\n');
	json_decref(value);
	return STATUS_OK;
}

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct verb *verb = tables[i]; verb->name; verb++)
			if (strcmp(verb->name, name) == 0)
				return verb;
	return NULL;
}

/* Takes --json, which may stand anywhere before "--", out of ARGV; the new argc. */
static int take_options(int argc, char **argv)
{
	int kept = 1, i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0)
			verb_json = true;
		else
			argv[kept++] = argv[i];
	}
	while (i < argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	return kept;
}

static enum status run(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2)
		return verb_usage("a verb is missing");
	/* Also behind a verb, where people ask for it. */
	if (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0) {
		puts("platter " PACKAGE_VERSION);
		return STATUS_OK;
	}
	verb = find(argv[1]);
	return verb ? verb->run(argc - 1, argv + 1) : verb_usage("%s: not a verb", argv[1]);
}

int main(int argc, char **argv)
{
	int (*mount)(int argc, char **argv) = mount_called(program_invocation_short_name);
	enum status status;

	setlocale(LC_CTYPE, "");
	/* OpenSSL writes to sockets that may have ended. */
	signal(SIGPIPE, SIG_IGN);
	log_open(mount ? program_invocation_short_name : "platter", LOG_LEVEL_NOTICE);
	if (mount)
		return mount(argc, argv);
	status = run(take_options(argc, argv), argv);
	if (fflush(stdout) != 0 && status == STATUS_OK) {
		log_error("standard output cannot be written");
		status = STATUS_FAILED;
	}
	return (int)status;
}
