/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/moddep.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "server/block/error.h"
#include "server/module/modname.h"

struct list {
	size_t *modules; /* numbers; room for all modules */
	size_t count;
};

struct node {
	struct list needs;  /* directly, in the order of the imports */
	struct list before; /* all, in the order to load them */
	enum { NEW, ENTERED, DONE } state;
};

struct moddep {
	const struct moddep_module *modules;
	struct node *nodes; /* one for each */
	size_t count;
	char **warnings;
	size_t warning_count;
};

/* A symbol and who exports it. */
struct export {
	const char *symbol;
	size_t module;
};

struct exports {
	struct export *of; /* sorted by symbol, then by module */
	size_t count;
};

static size_t list_length(const char *const *list)
{
	size_t length = 0;

	while (list && list[length])
		length++;
	return length;
}

static int no_memory(struct platter_error *error)
{
	return platter_fail(error, ENOMEM, "no memory");
}

/* Takes TEXT over; NULL: there was no memory for it. */
static int warn(struct moddep *dep, char *text, struct platter_error *error)
{
	char **warnings = realloc(dep->warnings, (dep->warning_count + 1) * sizeof(*warnings));

	if (warnings)
		dep->warnings = warnings;
	if (!warnings || !text) {
		free(text);
		return no_memory(error);
	}
	dep->warnings[dep->warning_count++] = text;
	return 0;
}

static int compare_exports(const void *a, const void *b)
{
	const struct export *left = a, *right = b;
	int order = strcmp(left->symbol, right->symbol);

	return order ? order : (left->module > right->module) - (left->module < right->module);
}

static int collect_exports(struct moddep *dep, struct exports *exports, struct platter_error *error)
{
	size_t count = 0;

	for (size_t i = 0; i < dep->count; i++)
		count += list_length(dep->modules[i].exports);
	exports->of = calloc(count + 1, sizeof(*exports->of));
	if (!exports->of)
		return no_memory(error);
	for (size_t i = 0; i < dep->count; i++)
		for (size_t j = 0; j < list_length(dep->modules[i].exports); j++)
			exports->of[exports->count++] = (struct export){ dep->modules[i].exports[j], i };
	qsort(exports->of, count, sizeof(*exports->of), compare_exports);
	return 0;
}

static int warn_of_doubles(struct moddep *dep, const struct exports *exports, struct platter_error *error)
{
	int result = 0;

	for (size_t i = 1; result == 0 && i < exports->count; i++) {
		const struct export *first = &exports->of[i - 1], *second = &exports->of[i];
		char *text;

		if (strcmp(first->symbol, second->symbol) != 0 || first->module == second->module)
			continue;
		if (asprintf(&text, "%s: the symbol is exported by both %s and %s: only one of them can be loaded", first->symbol,
			     dep->modules[first->module].path, dep->modules[second->module].path) < 0)
			text = NULL;
		result = warn(dep, text, error);
	}
	return result;
}

/* The first module that exports SYMBOL. */
static const struct export *find_export(const struct exports *exports, const char *symbol)
{
	size_t low = 0, high = exports->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(exports->of[middle].symbol, symbol) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < exports->count && strcmp(exports->of[low].symbol, symbol) == 0 ? &exports->of[low] : NULL;
}

static bool contains(const char *const *list, size_t length, const char *text)
{
	for (size_t i = 0; list && i < length; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

static void add_once(struct list *list, size_t module)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->modules[i] == module)
			return;
	list->modules[list->count++] = module;
}

/* Finds who exports what MODULE imports. */
static int resolve(struct moddep *dep, size_t module, const struct exports *exports, struct platter_error *error)
{
	const struct moddep_module *of = &dep->modules[module];
	int result = 0;

	for (size_t i = 0; result == 0 && i < list_length(of->imports); i++) {
		const struct export *export = find_export(exports, of->imports[i]);
		char *text;

		if (contains(of->imports, i, of->imports[i]) || contains(of->exports, list_length(of->exports), of->imports[i]))
			continue;
		if (export) {
			add_once(&dep->nodes[module].needs, export->module);
			continue;
		}
		if (asprintf(&text, "%s needs the unknown symbol %s: no module exports it", of->path, of->imports[i]) < 0)
			text = NULL;
		result = warn(dep, text, error);
	}
	return result;
}

static int resolve_all(struct moddep *dep, struct platter_error *error)
{
	struct exports exports = { .of = NULL };
	int result = collect_exports(dep, &exports, error);

	if (result == 0)
		result = warn_of_doubles(dep, &exports, error);
	for (size_t i = 0; result == 0 && i < dep->count; i++)
		result = resolve(dep, i, &exports, error);
	free(exports.of);
	return result;
}

/* PATH: the modules that were entered one from the other; the last one is needed by itself. */
static int cycle(const struct moddep *dep, const struct list *path, struct platter_error *error)
{
	size_t again = path->modules[path->count - 1], from = 0, used = 0;
	char names[300] = "";

	while (path->modules[from] != again)
		from++;
	for (size_t i = from; i < path->count && used < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > from ? " -> " : "",
					 dep->modules[path->modules[i]].name);
	return platter_fail(error, ELOOP, "modules need each other, none of them can be loaded: %s%s", names,
			    used < sizeof(names) ? "" : "...");
}

/* Adds MODULE and what it needs to ORDER, dependencies first. */
static int visit(struct moddep *dep, size_t module, struct list *path, struct list *order, struct platter_error *error)
{
	struct node *node = &dep->nodes[module];
	int result = 0;

	if (node->state == DONE)
		return 0;
	path->modules[path->count++] = module;
	if (node->state == ENTERED)
		return cycle(dep, path, error);
	node->state = ENTERED;
	for (size_t i = 0; result == 0 && i < node->needs.count; i++)
		result = visit(dep, node->needs.modules[i], path, order, error);
	if (result < 0)
		return result;
	node->state = DONE;
	path->count--;
	order->modules[order->count++] = module;
	return 0;
}

static int order_all(struct moddep *dep, struct platter_error *error)
{
	/* On a cycle, one module is on the path twice. */
	struct list path = { .modules = calloc(dep->count + 1, sizeof(size_t)) };
	struct list order = { .modules = calloc(dep->count + 1, sizeof(size_t)) };
	int result = path.modules && order.modules ? 0 : no_memory(error);

	for (size_t i = 0; result == 0 && i < dep->count; i++) {
		struct list *before = &dep->nodes[i].before;

		for (size_t j = 0; j < dep->count; j++)
			dep->nodes[j].state = NEW;
		order.count = 0;
		result = visit(dep, i, &path, &order, error);
		if (result < 0)
			break;
		/* All but the module itself, the last one. */
		before->modules = calloc(order.count, sizeof(size_t));
		if (!before->modules) {
			result = no_memory(error);
			break;
		}
		before->count = order.count - 1;
		memcpy(before->modules, order.modules, before->count * sizeof(size_t));
	}
	free(order.modules);
	free(path.modules);
	return result;
}

/* One word of an index's line. */
static bool is_word(const char *text)
{
	return *text && strcspn(text, " \t\r\n\v\f\"") == strlen(text);
}

static int check_alias(const struct moddep_module *module, const char *alias, struct platter_error *error)
{
	char *copy = strdup(alias);
	bool right = copy && is_word(alias) && modname_pattern(copy);

	if (!copy)
		return no_memory(error);
	free(copy);
	if (!right)
		return platter_fail(error, EINVAL, "%s: the alias '%.100s' isn't one word, or lacks a ]", module->path, alias);
	return 0;
}

/* Whether no word of NAMES would be a keyword of the index or make another line there. */
static bool are_names(const char *names)
{
	for (; *names; names++)
		if (strchr("\r\n\v\f\"\\", *names) || (*names == ':' && strchr(" \t", names[1])))
			return false;
	return true;
}

static int check(const struct moddep_module *modules, size_t number, struct platter_error *error)
{
	const struct moddep_module *module = &modules[number];
	int result = 0;

	if (!modname_is_path(module->path))
		return platter_fail(error, EINVAL, "%s: no path for an index: it is relative, of plain characters, and ends in NAME.so",
				    module->path);
	if (!modname_is_of_path(module->name, module->path))
		return platter_fail(error, EINVAL, "%s: the module in it is named '%s': rename the file", module->path, module->name);
	for (size_t i = 0; i < number; i++)
		if (modname_equal(modules[i].name, module->name))
			return platter_fail(error, EEXIST, "%s and %s: two modules of the same name; remove one", modules[i].path,
					    module->path);
	for (size_t i = 0; result == 0 && i < list_length(module->aliases); i++)
		result = check_alias(module, module->aliases[i], error);
	for (size_t i = 0; result == 0 && i < list_length(module->softdeps); i++)
		if (!are_names(module->softdeps[i]))
			return platter_fail(error, EINVAL, "%s: the soft dependency '%.100s' isn't modules' names and blanks",
					    module->path, module->softdeps[i]);
	return result;
}

static struct moddep *allocate(const struct moddep_module *modules, size_t count)
{
	struct moddep *dep = calloc(1, sizeof(*dep));

	if (!dep)
		return NULL;
	dep->modules = modules;
	dep->nodes = calloc(count + 1, sizeof(*dep->nodes));
	if (!dep->nodes) {
		free(dep);
		return NULL;
	}
	for (; dep->count < count; dep->count++) {
		struct list *needs = &dep->nodes[dep->count].needs;

		needs->modules = calloc(list_length(modules[dep->count].imports) + 1, sizeof(size_t));
		if (!needs->modules) {
			moddep_free(dep);
			return NULL;
		}
	}
	return dep;
}

int moddep_new(const struct moddep_module *modules, size_t count, struct moddep **ret, struct platter_error *error)
{
	struct moddep *dep;
	int result = 0;

	for (size_t i = 0; result == 0 && i < count; i++)
		result = check(modules, i, error);
	if (result < 0)
		return result;
	dep = allocate(modules, count);
	if (!dep)
		return no_memory(error);
	result = resolve_all(dep, error);
	if (result == 0)
		result = order_all(dep, error);
	if (result == 0)
		*ret = dep;
	else
		moddep_free(dep);
	return result;
}

void moddep_free(struct moddep *dep)
{
	if (!dep)
		return;
	for (size_t i = 0; i < dep->count; i++) {
		free(dep->nodes[i].needs.modules);
		free(dep->nodes[i].before.modules);
	}
	for (size_t i = 0; i < dep->warning_count; i++)
		free(dep->warnings[i]);
	free(dep->warnings);
	free(dep->nodes);
	free(dep);
}

const struct moddep_module *moddep_modules(const struct moddep *dep, size_t *count)
{
	*count = dep->count;
	return dep->modules;
}

const struct moddep_module *moddep_before(const struct moddep *dep, size_t module, size_t index)
{
	const struct list *before = &dep->nodes[module].before;

	return index < before->count ? &dep->modules[before->modules[index]] : NULL;
}

const char *moddep_warning(const struct moddep *dep, size_t index)
{
	return index < dep->warning_count ? dep->warnings[index] : NULL;
}
