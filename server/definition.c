/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"

static void key_free(struct definition_key *key)
{
	free(key->name);
	free(key->value);
	free(key);
}

struct definition *definition_new(const char *name, const char *source)
{
	struct definition *definition = calloc(1, sizeof(*definition));

	if (!definition)
		return NULL;
	list_init(&definition->link);
	list_init(&definition->keys);
	definition->name = name ? strdup(name) : NULL;
	definition->source = strdup(source);
	if ((name && !definition->name) || !definition->source) {
		definition_free(definition);
		return NULL;
	}
	return definition;
}

void definition_free(struct definition *definition)
{
	struct list_head *node;

	if (!definition)
		return;
	while ((node = list_pop(&definition->keys)))
		key_free(container_of(node, struct definition_key, link));
	free(definition->name);
	free(definition->source);
	free(definition);
}

int definition_add_key(struct definition *definition, const char *name, const char *value)
{
	struct definition_key *key = calloc(1, sizeof(*key));
	struct list_head *node;

	if (!key)
		return -ENOMEM;
	key->name = strdup(name);
	key->value = strdup(value);
	if (!key->name || !key->value) {
		key_free(key);
		return -ENOMEM;
	}
	list_for_each(node, &definition->keys)
		if (strcmp(container_of(node, struct definition_key, link)->name, name) > 0)
			break;
	list_add_tail(&key->link, node);
	return 0;
}

bool definition_has_key(const struct definition *definition, const char *name)
{
	struct list_head *node;

	list_for_each(node, &definition->keys)
		if (strcmp(container_of(node, struct definition_key, link)->name, name) == 0)
			return true;
	return false;
}

bool definition_has_rule_file(const struct definition *definition)
{
	struct list_head *node;

	list_for_each(node, &definition->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		if (strcmp(key->name, "allow") == 0 && key->value[0] == '@')
			return true;
	}
	return false;
}

struct definition *definition_copy(const struct definition *definition)
{
	struct definition *copy = definition_new(definition->name, definition->source);
	struct list_head *node;

	if (!copy)
		return NULL;
	copy->drains = definition->drains;
	list_for_each(node, &definition->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		if (definition_add_key(copy, key->name, key->value) < 0) {
			definition_free(copy);
			return NULL;
		}
	}
	return copy;
}

/* KEYS, cut to pieces: KEY[=VALUE], between commas. */
static int add_keys(struct definition *definition, char *keys)
{
	int result = 0;

	while (result == 0 && keys) {
		char *next = escape_cut(keys, ",");
		char *value = escape_cut(keys, "=");

		result = definition_add_key(definition, escape_remove(keys), value ? escape_remove(value) : "on");
		keys = next;
	}
	return result;
}

struct definition *definition_parse(const char *text)
{
	char *copy = strdup(text);
	char *keys = copy ? escape_cut(copy, ",") : NULL;
	char *colon = copy ? escape_find(copy, "=:") : NULL;
	struct definition *definition;

	if (!copy)
		return NULL;
	/* As in spec.c: an equal sign ends a name, but in a path. */
	if (*colon == '=' && *copy != '/' && *copy != '.') {
		*colon = '\0';
		definition = definition_new(escape_remove(copy), colon + 1);
	} else {
		definition = definition_new(NULL, copy);
	}
	if (definition && add_keys(definition, keys) < 0) {
		definition_free(definition);
		definition = NULL;
	}
	free(copy);
	return definition;
}

static void print_escaped(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (strchr(",:=\\", *text))
			putc('\\', file);
		putc(*text, file);
	}
}

char *definition_spec(const struct definition *definition)
{
	struct list_head *node;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	if (definition->name) {
		/* It isn't a path. */
		if (*definition->name == '/' || *definition->name == '.')
			putc('\\', file);
		print_escaped(file, definition->name);
		putc('=', file);
	}
	fputs(definition->source, file);
	list_for_each(node, &definition->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		putc(',', file);
		print_escaped(file, key->name);
		putc('=', file);
		print_escaped(file, key->value);
	}
	if (fclose(file) == 0)
		return text;
	free(text);
	return NULL;
}

bool definition_is_adjustable(const char *key)
{
	return strcmp(key, "allow") == 0 || strcmp(key, "description") == 0 || strcmp(key, "tls") == 0 ||
	       strncmp(key, "queue.", strlen("queue.")) == 0;
}

/* The next one behind LAST that counts; NULL at the end. */
static const struct definition_key *next_key(const struct definition *definition, const struct list_head *last, bool all)
{
	for (struct list_head *node = last->next; node != &definition->keys; node = node->next) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		if (all || !definition_is_adjustable(key->name))
			return key;
	}
	return NULL;
}

static bool same(const struct definition *a, const struct definition *b, bool all)
{
	const struct definition_key *left = next_key(a, &a->keys, all);
	const struct definition_key *right = next_key(b, &b->keys, all);

	while (left && right && strcmp(left->name, right->name) == 0 && strcmp(left->value, right->value) == 0) {
		left = next_key(a, &left->link, all);
		right = next_key(b, &right->link, all);
	}
	return !left && !right && strcmp(a->name ? a->name : "", b->name ? b->name : "") == 0 && strcmp(a->source, b->source) == 0;
}

bool definition_equal(const struct definition *a, const struct definition *b)
{
	return same(a, b, true);
}

bool definition_same_disk(const struct definition *a, const struct definition *b)
{
	return same(a, b, false);
}

bool definition_stands_on(const struct definition *definition, const char *name)
{
	static const char prefix[] = "disk:";
	const char *at = definition->source + sizeof(prefix) - 1;

	if (strncmp(definition->source, prefix, sizeof(prefix) - 1) != 0)
		return false;
	for (; *at && *name; at++, name++) {
		at += *at == '\\' && at[1];
		if (*at != *name)
			return false;
	}
	return !*at && !*name;
}
