/* SPDX-License-Identifier: BSD-2-Clause */
/* What platterctl can be told to do. */
#ifndef CLIENT_VERB_H
#define CLIENT_VERB_H

#include <stdbool.h>

struct verb {
	const char *name;
	const char *arguments;  /* for --help */
	const char *help;       /* one line */
	/* ARGV[0] is the verb; an exit status of call.h's. */
	int (*run)(int argc, char **argv);
};

/* Ended by one without a name. */
extern const struct verb list_verbs[], change_verbs[], log_verbs[];

/* --json: print the server's answer as it is. */
extern bool verb_json;

/* Says what is wrong with the command line, and where to read on; CALL_USAGE. */
int verb_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CALL_USAGE, saying so, unless ARGV has no arguments but the verb. */
int verb_no_arguments(int argc, char **argv);

#endif
