/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/roster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/log.h"
#include "server/definition.h"

struct entry {
	struct list_head link;
	struct definition *definition;
	enum roster_origin origin;
};

static struct list_head entries = LIST_HEAD_INIT(entries); /* the newest first */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void entry_free(struct entry *entry)
{
	list_del_init(&entry->link);
	definition_free(entry->definition);
	free(entry);
}

static struct entry *find(const char *name)
{
	struct list_head *node;

	list_for_each(node, &entries)
		if (strcmp(container_of(node, struct entry, link)->definition->name, name) == 0)
			return container_of(node, struct entry, link);
	return NULL;
}

/* Takes DEFINITION, which has a name. */
static void put(struct definition *definition, enum roster_origin origin)
{
	struct entry *entry;

	pthread_mutex_lock(&lock);
	entry = find(definition->name);
	if (entry) {
		definition_free(entry->definition);
	} else {
		entry = calloc(1, sizeof(*entry));
		if (entry)
			list_add(&entry->link, &entries);
	}
	if (entry) {
		entry->definition = definition;
		entry->origin = origin;
	} else {
		definition_free(definition);
	}
	pthread_mutex_unlock(&lock);
	if (!entry)
		log_error("no memory to remember an export: a reload may take it for another's");
}

void roster_add(const char *name, const char *spec, enum roster_origin origin)
{
	struct definition *definition = definition_parse(spec);

	if (definition && !definition->name)
		definition->name = strdup(name);
	if (definition && definition->name) {
		put(definition, origin);
		return;
	}
	definition_free(definition);
	log_error("%s: no memory to remember it: a reload may take it for another's", name);
}

void roster_set(const struct definition *definition)
{
	struct definition *copy = definition_copy(definition);

	if (copy)
		put(copy, ROSTER_CONFIG);
	else
		log_error("%s: no memory to remember it: a reload may take it for another's", definition->name);
}

void roster_remove(const char *name)
{
	struct entry *entry;

	pthread_mutex_lock(&lock);
	entry = find(name);
	if (entry)
		entry_free(entry);
	pthread_mutex_unlock(&lock);
}

struct definition *roster_find(const char *name, enum roster_origin *origin)
{
	struct definition *copy = NULL;
	const struct entry *entry;

	pthread_mutex_lock(&lock);
	entry = find(name);
	if (entry) {
		copy = definition_copy(entry->definition);
		*origin = entry->origin;
	}
	pthread_mutex_unlock(&lock);
	return copy;
}

void roster_configured(struct list_head *ret)
{
	struct list_head *node;

	pthread_mutex_lock(&lock);
	list_for_each(node, &entries) {
		const struct entry *entry = container_of(node, struct entry, link);
		struct definition *copy = entry->origin == ROSTER_CONFIG ? definition_copy(entry->definition) : NULL;

		if (copy)
			list_add_tail(&copy->link, ret);
		else if (entry->origin == ROSTER_CONFIG)
			log_error("%s: no memory to look at it: a reload leaves it as it is", entry->definition->name);
	}
	pthread_mutex_unlock(&lock);
}

void roster_free(void)
{
	while (!list_empty(&entries))
		entry_free(list_first_entry(&entries, struct entry, link));
}
