/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/modindex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "server/block/error.h"
#include "server/module/moddep.h"
#include "server/module/modname.h"
#include "server/module/text_file.h"

struct module {
	char *name;
	const char *path; /* these two in the index's text */
	char *rest;       /* what follows the colon; cut into words */
	unsigned line;
	size_t *needs;    /* numbers of modules, as in the file: nearest first */
	size_t count;
};

struct modindex {
	char *text;
	struct module *modules;
	size_t count;
	struct modconf *conf;
};

/* --- Writing */

static void write_dep(FILE *file, const void *data)
{
	size_t count;
	const struct moddep_module *modules = moddep_modules(data, &count);

	for (size_t i = 0; i < count; i++) {
		size_t before = 0;

		fprintf(file, "%s:", modules[i].path);
		while (moddep_before(data, i, before))
			before++;
		while (before-- > 0)
			fprintf(file, " %s", moddep_before(data, i, before)->path);
		fputc('\n', file);
	}
}

static void write_alias(FILE *file, const void *data)
{
	size_t count;
	const struct moddep_module *modules = moddep_modules(data, &count);

	fputs("# Aliases extracted from modules themselves.\n", file);
	for (size_t i = 0; i < count; i++)
		for (const char *const *alias = modules[i].aliases; alias && *alias; alias++)
			fprintf(file, "alias %s %s\n", *alias, modules[i].name);
}

static void write_softdep(FILE *file, const void *data)
{
	size_t count;
	const struct moddep_module *modules = moddep_modules(data, &count);

	fputs("# Soft dependencies extracted from modules themselves.\n", file);
	for (size_t i = 0; i < count; i++)
		for (const char *const *softdep = modules[i].softdeps; softdep && *softdep; softdep++)
			fprintf(file, "softdep %s pre: %s\n", modules[i].name, *softdep);
}

int modindex_write(const char *directory, const struct moddep *dep, struct platter_error *error)
{
	int result = text_file_write(directory, "modules.dep", write_dep, dep, error);

	if (result == 0)
		result = text_file_write(directory, "modules.alias", write_alias, dep, error);
	if (result == 0)
		result = text_file_write(directory, "modules.softdep", write_softdep, dep, error);
	return result;
}

/* --- Reading */

static const struct module *find(const struct modindex *index, const char *name)
{
	for (size_t i = 0; i < index->count; i++)
		if (modname_equal(index->modules[i].name, name))
			return &index->modules[i];
	return NULL;
}

/* Adds the module of LINE, whose right side stays for later. */
static int add_module(struct modindex *index, const char *file, char *line, unsigned number, struct platter_error *error)
{
	struct module module = { .path = line, .rest = strchr(line, ':'), .line = number };
	struct module *modules;

	if (!module.rest)
		return platter_fail(error, EINVAL, "%s:%u: '%.100s': a colon is missing behind the module", file, number, line);
	*module.rest++ = '\0';
	if (!modname_is_path(module.path))
		return platter_fail(error, EINVAL, "%s:%u: '%.100s' isn't the relative path of a module (NAME.so)", file, number,
				    module.path);
	modules = realloc(index->modules, (index->count + 1) * sizeof(*modules));
	if (modules)
		index->modules = modules;
	module.name = modname_of_path(module.path);
	if (!modules || !module.name) {
		free(module.name);
		return platter_fail(error, ENOMEM, "no memory");
	}
	if (find(index, module.name)) {
		platter_fail(error, EINVAL, "%s:%u: the module %s has a second line", file, number, module.name);
		free(module.name);
		return -EINVAL;
	}
	index->modules[index->count++] = module;
	return 0;
}

/* Where MODULE is in the first FROM to COUNT of NEEDS. */
static bool contains(const size_t *needs, size_t from, size_t count, size_t module)
{
	for (size_t i = from; i < count; i++)
		if (needs[i] == module)
			return true;
	return false;
}

/* Finds the modules that the right side of a line names. */
static int resolve_line(struct modindex *index, const char *file, struct module *module, struct platter_error *error)
{
	bool unclosed = false;
	size_t other;
	char *path;

	module->needs = calloc(index->count, sizeof(*module->needs));
	if (!module->needs)
		return platter_fail(error, ENOMEM, "no memory");
	while ((path = text_word(&module->rest, &unclosed))) {
		for (other = 0; other < index->count && strcmp(index->modules[other].path, path) != 0;)
			other++;
		if (unclosed || other == index->count)
			return platter_fail(error, EINVAL, "%s:%u: %s needs '%.100s', which has no line of its own: run depmod again", file,
					    module->line, module->path, path);
		if (&index->modules[other] == module || contains(module->needs, 0, module->count, other))
			return platter_fail(error, EINVAL, "%s:%u: %s %s: run depmod again", file, module->line, path,
					    &index->modules[other] == module ? "needs itself" : "stands there twice");
		module->needs[module->count++] = other;
	}
	return 0;
}

/*
 * Each line must name all that the modules in it need, behind them.  This
 * excludes cycles, too, so that nobody who follows the lines has to fear them.
 */
static int check_line(const struct modindex *index, const char *file, const struct module *module,
		      struct platter_error *error)
{
	for (size_t i = 0; i < module->count; i++) {
		const struct module *needed = &index->modules[module->needs[i]];

		for (size_t j = 0; j < needed->count; j++)
			if (!contains(module->needs, i + 1, module->count, needed->needs[j]))
				return platter_fail(error, EINVAL, "%s:%u: %s isn't behind %s, which needs it: run depmod again", file,
						    module->line, index->modules[needed->needs[j]].path, needed->path);
	}
	return 0;
}

static int parse(struct modindex *index, const char *file, struct platter_error *error)
{
	struct text_lines lines = { .next = index->text };
	int result = 0;
	char *line;

	while (result == 0 && (line = text_lines_next(&lines)))
		result = add_module(index, file, line, lines.line, error);
	for (size_t i = 0; result == 0 && i < index->count; i++)
		result = resolve_line(index, file, &index->modules[i], error);
	for (size_t i = 0; result == 0 && i < index->count; i++)
		result = check_line(index, file, &index->modules[i], error);
	return result;
}

int modindex_parse(const char *file, const char *text, struct modindex **ret, struct platter_error *error)
{
	struct modindex *index = calloc(1, sizeof(*index));
	int result;

	if (!index)
		return platter_fail(error, ENOMEM, "no memory");
	index->text = strdup(text);
	index->conf = modconf_new();
	result = index->text && index->conf ? parse(index, file, error) : platter_fail(error, ENOMEM, "no memory");
	if (result == 0)
		*ret = index;
	else
		modindex_free(index);
	return result;
}

void modindex_free(struct modindex *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->count; i++) {
		free(index->modules[i].name);
		free(index->modules[i].needs);
	}
	free(index->modules);
	modconf_free(index->conf);
	free(index->text);
	free(index);
}

/* Adds a file of the configuration's language, if it is there. */
static int read_conf(struct modindex *index, const char *directory, const char *name, struct platter_error *error)
{
	char *path;
	int result;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	result = modconf_read_file(index->conf, path, error);
	free(path);
	return result == -ENOENT ? 0 : result;
}

int modindex_read(const char *directory, struct modindex **ret, struct platter_error *error)
{
	struct modindex *index = NULL;
	char *path, *text;
	int result;

	if (asprintf(&path, "%s/modules.dep", directory) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	result = text_file_read(path, &text, error);
	if (result == -ENOENT)
		platter_fail(error, ENOENT, "%s: no such file: run depmod", path);
	if (result == 0) {
		result = modindex_parse(path, text, &index, error);
		free(text);
	}
	free(path);
	if (result == 0)
		result = read_conf(index, directory, "modules.alias", error);
	if (result == 0)
		result = read_conf(index, directory, "modules.softdep", error);
	if (result == 0)
		*ret = index;
	else
		modindex_free(index);
	return result;
}

/* --- Looking up */

const char *modindex_name(const struct modindex *index, const char *module)
{
	const struct module *found = find(index, module);

	return found ? found->name : NULL;
}

const char *modindex_path(const struct modindex *index, const char *module)
{
	const struct module *found = find(index, module);

	return found ? found->path : NULL;
}

const char *modindex_before(const struct modindex *index, const char *module, size_t i)
{
	const struct module *found = find(index, module);

	return found && i < found->count ? index->modules[found->needs[found->count - 1 - i]].name : NULL;
}

const struct modconf *modindex_conf(const struct modindex *index)
{
	return index->conf;
}

/* The I-th module that ALIASES have for NAME, but for blacklisted ones. */
static const char *find_alias(const struct modconf *aliases, const struct modconf *conf, const char *name, size_t i)
{
	const char *module;

	for (size_t at = 0; (module = modconf_alias(aliases, name, at)); at++)
		if (!modconf_blacklisted(conf, module) && i-- == 0)
			return module;
	return NULL;
}

const char *modindex_resolve(const struct modindex *index, const struct modconf *conf, const char *name, size_t i)
{
	const struct module *module;

	/* An alias in the configuration hides all else, even if it leads nowhere. */
	if (modconf_alias(conf, name, 0))
		return find_alias(conf, conf, name, i);
	module = find(index, name);
	if (module)
		return i == 0 ? module->name : NULL;
	return find_alias(index->conf, conf, name, i);
}
