/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of configuration files: sections of keys with values, see
 * platterd.conf(5).  Knows nothing of what they mean, but which keys may be
 * repeated.  Pure.
 */
#ifndef SERVER_CONFIG_TEXT_H
#define SERVER_CONFIG_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "common/list.h"

/* Where something stands, for messages. */
struct config_place {
	const char *file;  /* whoever has it parsed keeps it */
	unsigned line;
};

struct config_setting {
	struct list_head link;
	char *key, *value;
	struct config_place place;
};

/* [KIND] or [KIND NAME]: those of the same kind and name are one, from whatever files they come. */
struct config_section {
	struct list_head link;
	char *kind;
	char *name;                /* NULL: it has none */
	struct list_head settings; /* struct config_setting */
	struct config_place place; /* where it stands first */
};

struct config_text {
	struct list_head sections; /* struct config_section */
	FILE *report;              /* what is wrong goes there, a line each... */
	char *problems;            /* ...and is here */
	size_t length;
	unsigned count;            /* of problems */
};

/* -ENOMEM. */
int config_text_init(struct config_text *text);
/* Harmless where that failed, and on zeroes. */
void config_text_free(struct config_text *text);

/*
 * Adds what TEXT says, the content of FILE.  A key that an earlier file has, too, takes its place; in one file it is a
 * problem.  `allow` and `load` add up instead.  Problems are reported; it goes on behind them.
 */
void config_text_parse(struct config_text *text, const char *file, const char *content);

/* Reports a problem at PLACE, or without one. */
void config_text_problem(struct config_text *text, const struct config_place *place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The section of this kind without a name; NULL. */
struct config_section *config_text_section(const struct config_text *text, const char *kind);
/* NULL where SECTION, which may be NULL, doesn't have it. */
const struct config_setting *config_text_setting(const struct config_section *section, const char *key);

#endif
