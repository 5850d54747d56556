/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/modprobe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/block/error.h"
#include "server/block/registry.h"
#include "server/module/modconf.h"
#include "server/module/modindex.h"
#include "server/module/modplan.h"
#include "server/module/module.h"

static const char *module_directory;
static const char *conf_directory;

void modprobe_set_directories(const char *modules, const char *configuration)
{
	module_directory = modules;
	conf_directory = configuration;
}

const char *modprobe_modules(void)
{
	return module_directory;
}

const char *modprobe_configuration(void)
{
	return conf_directory;
}

/* What is known of modules just now. */
struct knowledge {
	struct modconf *conf;
	struct modindex *index;
	char *whole; /* the last failure's reason, when an error has no room for it */
};

static void forget_failure(struct knowledge *knowledge)
{
	free(knowledge->whole);
	knowledge->whole = NULL;
}

static void forget(struct knowledge *knowledge)
{
	forget_failure(knowledge);
	modindex_free(knowledge->index);
	modconf_free(knowledge->conf);
}

static int learn(struct knowledge *knowledge, struct platter_error *error)
{
	int result;

	*knowledge = (struct knowledge){ .conf = modconf_new() };
	if (!knowledge->conf)
		return platter_fail(error, ENOMEM, "no memory");
	result = modconf_read_directory(knowledge->conf, conf_directory, error);
	if (result == 0)
		result = modindex_read(module_directory, &knowledge->index, error);
	if (result < 0)
		forget(knowledge);
	return result;
}

/* The configured options of MODULE and behind them ARGS; the caller frees the array. */
static const char **all_args(const struct modconf *conf, const char *module, const char *const *args, size_t count, size_t *all)
{
	const char **texts;
	size_t options = 0;

	while (modconf_option(conf, module, options))
		options++;
	texts = calloc(options + count + 1, sizeof(*texts));
	for (size_t i = 0; texts && i < options; i++)
		texts[i] = modconf_option(conf, module, i);
	for (size_t i = 0; texts && i < count; i++)
		texts[options + i] = args[i];
	*all = options + count;
	return texts;
}

/* One module's file.  Somebody else may have loaded it since we looked. */
static int load_file(struct knowledge *knowledge, const struct modplan_step *step, const char *const *args, size_t count,
		     struct platter_error *error)
{
	const char **texts;
	char *path = NULL;
	int result;

	if (module_settled(step->module))
		return 0;
	texts = all_args(knowledge->conf, step->module, args, count, &count);
	if (!texts || asprintf(&path, "%s/%s", module_directory, step->path) < 0) {
		free(texts);
		return platter_fail(error, ENOMEM, "no memory");
	}
	result = module_load(path, texts, count, &knowledge->whole, error);
	free(path);
	free(texts);
	return result == -EEXIST && module_settled(step->module) ? 0 : result;
}

/* MODULE, a module's own name, with what it needs; ARGS are its own. */
static int load_planned(struct knowledge *knowledge, const char *module, const char *const *args, size_t count,
			struct platter_error *error)
{
	struct modplan *plan = NULL;
	int result;

	forget_failure(knowledge);
	result = modplan_new(knowledge->index, knowledge->conf, module, &plan, error);
	for (size_t i = 0; result == 0 && i < plan->count; i++) {
		const struct modplan_step *step = &plan->steps[i];
		bool own = strcmp(step->module, module) == 0;
		struct platter_error why = { "" };
		int one = load_file(knowledge, step, own ? args : NULL, own ? count : 0, &why);

		if (one < 0 && step->required) {
			*error = why;
			result = one;
		} else if (one < 0) {
			log_warning("%s", why.text);
			forget_failure(knowledge);
		}
	}
	modplan_free(plan);
	return result;
}

/* All that NAME stands for; *FOUND: how many. */
static int load_resolved(struct knowledge *knowledge, const char *name, const char *const *args, size_t count, size_t *found,
			 struct platter_error *error)
{
	const char *module;
	unsigned loaded = 0;
	int result = 0;

	for (*found = 0; (module = modindex_resolve(knowledge->index, knowledge->conf, name, *found)); (*found)++) {
		int one = load_planned(knowledge, module, args, count, error);

		loaded += one == 0;
		result = one < 0 ? one : result;
	}
	/* One that cannot be loaded doesn't keep the others from doing what is wanted. */
	if (result < 0 && loaded) {
		log_warning("%s", error->text);
		result = 0;
	}
	return result;
}

int modprobe_load(const char *name, const char *const *args, size_t count, char **whole, struct platter_error *error)
{
	struct knowledge knowledge;
	size_t found;
	int result = learn(&knowledge, error);

	*whole = NULL;
	if (result < 0)
		return result;
	result = load_resolved(&knowledge, name, args, count, &found, error);
	*whole = knowledge.whole;
	knowledge.whole = NULL;
	forget(&knowledge);
	if (result == 0 && found == 0)
		result = platter_fail(error, ENOENT, "there is no module \"%.64s\" in %s; after a new one came, run platterctl depmod",
				      name, module_directory);
	return result;
}

/* Has LOOK see to what has the driver NAME, if anything is known of modules: most machines have none at all. */
static int with_driver(const char *name, bool *found, struct platter_error *error,
		       int (*look)(struct knowledge *knowledge, const char *alias, size_t *count, struct platter_error *error))
{
	struct knowledge knowledge;
	size_t count = 0;
	char alias[80];
	int result;

	*found = false;
	if (strlen(name) > 64 || !module_directory)
		return 0;
	result = learn(&knowledge, error);
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	snprintf(alias, sizeof(alias), "driver:%s", name);
	result = look(&knowledge, alias, &count, error);
	*found = count > 0;
	forget(&knowledge);
	return result;
}

static int load_alias(struct knowledge *knowledge, const char *alias, size_t *count, struct platter_error *error)
{
	return load_resolved(knowledge, alias, NULL, 0, count, error);
}

static int find_alias(struct knowledge *knowledge, const char *alias, size_t *count, struct platter_error *error)
{
	(void)error;
	*count = modindex_resolve(knowledge->index, knowledge->conf, alias, 0) != NULL;
	return 0;
}

int modprobe_driver(const char *name, bool *found, struct platter_error *error)
{
	return with_driver(name, found, error, load_alias);
}

int modprobe_has_driver(const char *name, bool *found, struct platter_error *error)
{
	return with_driver(name, found, error, find_alias);
}

/* Whether anything uses it, its disks included. */
static bool is_wanted(const char *name)
{
	const struct module *module;
	bool used;

	module_lock();
	module = module_find(name);
	/* Disks that nobody uses just now are somebody's all the same. */
	used = !module || module->users || module_disks(module);
	module_unlock();
	return used;
}

int modprobe_unload(const char *name, const struct patience *patience, struct platter_error *error)
{
	struct platter_error ignored = { "" };
	struct knowledge knowledge;
	const char *needed, *module;
	size_t count = 0;
	int result = learn(&knowledge, error);

	if (result < 0)
		return result;
	module = modindex_resolve(knowledge.index, knowledge.conf, name, 0);
	if (!module)
		module = name;
	result = module_unload(module, patience, error);
	while (result == 0 && modindex_before(knowledge.index, module, count))
		count++;
	/* The nearest first: the farther ones are used by these. */
	while (result == 0 && count && (needed = modindex_before(knowledge.index, module, --count)))
		if (!is_wanted(needed))
			(void)module_unload(needed, PATIENCE_NONE, &ignored);
	forget(&knowledge);
	return result;
}

void modprobe_load_configured(void)
{
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };
	const char *name;
	char *whole;

	if (!conf || modconf_read_directory(conf, conf_directory, &error) < 0)
		log_error("%s", *error.text ? error.text : "no memory");
	for (size_t i = 0; conf && (name = modconf_load(conf, i)); i++) {
		if (modprobe_load(name, NULL, 0, &whole, &error) < 0)
			log_error("%s: not loaded: %s", name, error.text);
		free(whole);
	}
	modconf_free(conf);
}
