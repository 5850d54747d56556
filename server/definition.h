/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An export as it was asked for: its name, where its data comes from, and the
 * keys that go with it.  The command line and the control socket write it on
 * one line, see spec.h, the configuration as a section.  Pure.
 */
#ifndef SERVER_DEFINITION_H
#define SERVER_DEFINITION_H

#include <stdbool.h>

#include "common/list.h"

struct definition_key {
	struct list_head link;
	char *name, *value;
};

struct definition {
	struct list_head link;  /* for whoever has it */
	char *name;             /* NULL: the server finds one */
	char *source;           /* DRIVER[:ARG], a path, or disk:NAME, with backslashes */
	struct list_head keys;  /* struct definition_key, in the order of names; of those that come twice in theirs */
	bool drains;            /* clients are asked to leave when it is removed; otherwise it stays until they do */
};

/* NAME, which may be NULL, and SOURCE are copied.  NULL: no memory. */
struct definition *definition_new(const char *name, const char *source);
/* What TEXT, a spec, says; whether that makes sense isn't looked at.  NULL: no memory. */
struct definition *definition_parse(const char *text);
struct definition *definition_copy(const struct definition *definition);
/* NULL is allowed. */
void definition_free(struct definition *definition);

/* Adds a key; -ENOMEM. */
int definition_add_key(struct definition *definition, const char *name, const char *value);
bool definition_has_key(const struct definition *definition, const char *name);
/* Whether one of its rules is in a file. */
bool definition_has_rule_file(const struct definition *definition);

/* As spec_parse() reads it; the caller frees it.  NULL: no memory. */
char *definition_spec(const struct definition *definition);

/* Whether a key can change while clients use the export: its description, who may use it, and its disk's queue. */
bool definition_is_adjustable(const char *key);

/* Whether A and B say the same; whether they do but for adjustable keys. */
bool definition_equal(const struct definition *a, const struct definition *b);
bool definition_same_disk(const struct definition *a, const struct definition *b);

/* Whether it is another export of the disk NAME. */
bool definition_stands_on(const struct definition *definition, const char *name);

#endif
