/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/config.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/block/error.h"
#include "server/definition.h"
#include "server/module/module_trust.h"
#include "server/module/text_file.h"
#include "server/options.h"

/* Keeps PATH, which is the configuration's then, for as long as messages may name it. */
static struct config_file *add_file(struct config *config, char *path)
{
	struct config_file *file = calloc(1, sizeof(*file));

	if (!file || !path) {
		free(file);
		free(path);
		return NULL;
	}
	file->path = path;
	list_add_tail(&file->link, &config->files);
	return file;
}

/* Takes PATH, NULL for want of memory. */
static void read_file(struct config *config, char *path, bool must_exist)
{
	struct config_file *file = add_file(config, path);
	struct platter_error error = { "" };
	char *content = NULL;
	int descriptor;

	if (!file) {
		config_text_problem(&config->text, NULL, "no memory");
		return;
	}
	descriptor = text_file_open(file->path, &error);
	if (descriptor == -ENOENT && !must_exist)
		return;
	if (descriptor < 0 || module_trust_file(descriptor, file->path, "a configuration", &error) < 0 ||
	    text_file_read_from(descriptor, file->path, &content, &error) < 0)
		config_text_problem(&config->text, NULL, "%s", error.text);
	else
		config_text_parse(&config->text, file->path, content);
	if (descriptor >= 0)
		close(descriptor);
	free(content);
}

static char *__attribute__((format(printf, 1, 2))) join(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

static int is_conf(const struct dirent *entry)
{
	return fnmatch("*.conf", entry->d_name, FNM_PERIOD) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_drop_ins(struct config *config, const char *path)
{
	char *directory = join("%s.d", path);
	struct dirent **entries;
	int count = directory ? scandir(directory, &entries, is_conf, by_bytes) : 0;

	if (!directory)
		config_text_problem(&config->text, NULL, "no memory");
	else if (count < 0 && errno != ENOENT)
		config_text_problem(&config->text, NULL, "%s: %s", directory, strerror(errno));
	for (int i = 0; i < count; i++) {
		read_file(config, join("%s/%s", directory, entries[i]->d_name), true);
		free(entries[i]);
	}
	if (count >= 0 && directory)
		free(entries);
	free(directory);
}

bool config_exists(const char *path)
{
	char *directory = join("%s.d", path);
	bool exists = access(path, F_OK) == 0 || (directory && access(directory, F_OK) == 0);

	free(directory);
	return exists;
}

void config_wrong(struct config *config, const struct config_section *section, const struct config_setting *setting,
		  const char *why)
{
	config_text_problem(&config->text, &setting->place, "[%s%s%s] %s = %s: %s", section->kind, section->name ? " " : "",
			    section->name ? section->name : "", setting->key, setting->value, why);
}

static void take_options(struct config *config, const struct config_section *section, struct options *options)
{
	struct list_head *node;
	char known[256] = "";

	for (unsigned i = 0; options_key(section->kind, i); i++) {
		strncat(known, i ? ", " : "there is no such key; there are: ", sizeof(known) - strlen(known) - 1);
		strncat(known, options_key(section->kind, i), sizeof(known) - strlen(known) - 1);
	}
	list_for_each(node, &section->settings) {
		const struct config_setting *setting = container_of(node, struct config_setting, link);
		struct platter_error error = { "" };
		int result = options_set(options, section->kind, setting->key, setting->value, &error);

		if (result < 0)
			config_wrong(config, section, setting, result == -ENOENT ? known : error.text);
	}
}

bool config_is_named(const struct config_section *section)
{
	return strcmp(section->kind, "export") == 0 || strcmp(section->kind, "listen") == 0;
}

/* Complains of one that is wrong by itself. */
static void check_section(struct config *config, const struct config_section *section)
{
	bool named = config_is_named(section);
	bool known = named || options_has_section(section->kind) || strcmp(section->kind, "access") == 0 ||
		     strcmp(section->kind, "modules") == 0;

	if (!known)
		config_text_problem(&config->text, &section->place, "[%s]: there is no such section; there are: access, daemon, "
				    "export NAME, listen NAME, modules, tls", section->kind);
	else if (named && !section->name)
		config_text_problem(&config->text, &section->place, "[%s]: write a name behind it, as in [%s a]", section->kind,
				    section->kind);
	else if (!named && section->name)
		config_text_problem(&config->text, &section->place, "[%s %s]: write [%s], which takes no name", section->kind,
				    section->name, section->kind);
}

int config_read(struct config *config, const char *path, bool must_exist)
{
	struct list_head *node;

	list_init(&config->files);
	list_init(&config->listeners);
	list_init(&config->exports);
	if (config_text_init(&config->text) < 0)
		return -ENOMEM;
	if (path) {
		read_file(config, strdup(path), must_exist);
		read_drop_ins(config, path);
	}
	list_for_each(node, &config->text.sections)
		check_section(config, container_of(node, struct config_section, link));
	return config->text.count ? -EINVAL : 0;
}

int config_options(struct config *config, struct options *options)
{
	struct list_head *node;

	list_for_each(node, &config->text.sections) {
		struct config_section *section = container_of(node, struct config_section, link);

		if (options_has_section(section->kind))
			take_options(config, section, options);
	}
	return config->text.count ? -EINVAL : 0;
}

void config_free(struct config *config)
{
	struct list_head *node;

	if (!config || !config->text.report)
		return;
	while ((node = list_pop(&config->listeners))) {
		struct config_listener *listener = container_of(node, struct config_listener, link);

		free(listener->address);
		free(listener);
	}
	while ((node = list_pop(&config->exports)))
		definition_free(container_of(node, struct definition, link));
	config_text_free(&config->text);
	while ((node = list_pop(&config->files))) {
		struct config_file *file = container_of(node, struct config_file, link);

		free(file->path);
		free(file);
	}
}

void config_log_problems(const struct config *config)
{
	const char *line = config->text.problems;

	for (; line && *line; line += strcspn(line, "\n") + 1)
		log_error("%.*s", (int)strcspn(line, "\n"), line);
}
