/* SPDX-License-Identifier: BSD-2-Clause */
/* What platterctl can be told to do. */
#ifndef CLIENT_VERB_H
#define CLIENT_VERB_H

#include <jansson.h>
#include <stdbool.h>

struct table;

struct verb {
	const char *name;
	const char *arguments;  /* for --help */
	const char *help;       /* one line */
	/* ARGV[0] is the verb; an exit status of call.h's. */
	int (*run)(int argc, char **argv);
};

/* Ended by one without a name. */
extern const struct verb list_verbs[], change_verbs[], queue_verbs[], mark_verbs[], stats_verbs[], log_verbs[], module_verbs[],
	file_verbs[];

/* --json: print the server's answer as it is. */
extern bool verb_json;

/* Says what is wrong with the command line, and where to read on; CALL_USAGE. */
int verb_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CALL_USAGE, saying so, unless ARGV has no arguments but the verb. */
int verb_no_arguments(int argc, char **argv);

/* Prints RESULT as JSON if that was asked for, else TABLE; either may be NULL.  Takes both. */
void verb_print(json_t *result, struct table *table);

/* STATUS, of one of several arguments; when it is none of the last, says where it ended. */
int verb_ended_at(int status, const char *which, bool last);

/*
 * Calls METHOD for each name in ARGV, which may have --drain[=SECONDS], and then DONE, unless that is NULL, up to the first that is
 * refused; VERB is for messages.
 */
int verb_remove(int argc, char **argv, const char *verb, const char *method, int (*done)(const char *name));

#endif
