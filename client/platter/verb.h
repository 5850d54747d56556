/* SPDX-License-Identifier: BSD-2-Clause */
/* What platter can be told to do. */
#ifndef CLIENT_PLATTER_VERB_H
#define CLIENT_PLATTER_VERB_H

#include <jansson.h>
#include <stdbool.h>

#include "client/platter/problem.h"

struct verb {
	const char *name;
	const char *arguments;   /* for --help */
	const char *help;        /* one line */
	/* ARGV[0] is the verb. */
	enum status (*run)(int argc, char **argv);
};

/* Ended by one without a name. */
extern const struct verb attach_verbs[], check_verbs[], list_verbs[], server_verbs[];

/* --json: of listings. */
extern bool verb_json;

/* Says what is wrong with the command line, and where to read on; STATUS_USAGE. */
enum status verb_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what went wrong, of VERB; its status. */
enum status verb_failed(const char *verb, const struct problem *problem);

/* Prints VALUE, which it takes, as JSON; NULL: there is no memory. */
enum status verb_print(json_t *value);

#endif
