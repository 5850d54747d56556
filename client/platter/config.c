/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/config.h"

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "client/platter/device.h"
#include "client/platter/nbdtab.h"
#include "client/platter/service.h"
#include "common/log.h"

/* Of a line; where the library doesn't let itself be told, it takes fewer. */
#define LONGEST_LINE 8192

static const char ending[] = ".conf";

static const char *place(const char *variable, const char *usual)
{
	const char *other = secure_getenv(variable);

	return other ? other : usual;
}

static const char *directory(void)
{
	return place("PLATTER_ATTACH_D", CONFIG_DIRECTORY);
}

static const char *nbdtab(void)
{
	return place("PLATTER_NBDTAB", CONFIG_NBDTAB);
}

static int set_problem(struct config *config, const char *text)
{
	if (config->line)
		return problem_set(&config->problem, STATUS_USAGE, "%s:%u: %s", config->file, config->line, text);
	return problem_set(&config->problem, STATUS_USAGE, "%s: %s", config->file, text);
}

/* --- A file of its own */

struct reading {
	struct config *config;
	FILE *file;
	unsigned line;           /* the last that was read */
	unsigned seen;           /* keys, by the bits of their numbers */
};

/* The first problem is told. */
static void complain(struct reading *reading, unsigned line, const char *key, const char *what)
{
	struct config *config = reading->config;

	if (config->problem.status != STATUS_OK && config->line <= line)
		return;
	config->line = line;
	problem_set(&config->problem, STATUS_USAGE, "%s:%u: %s%s%s", config->file, line, key, *key ? ": " : "", what);
}

/* How inih gets at lines.  One that begins with blanks would go on from the one before, for it: here blanks mean nothing. */
static char *read_line(char *line, int size, void *stream)
{
	struct reading *reading = stream;
	char *got = fgets(line, size, reading->file);

	if (!got)
		return NULL;
	reading->line++;
	if (!strchr(line, '\n') && !feof(reading->file)) {
		complain(reading, reading->line, "", "the line is too long");
		return NULL;
	}
	memmove(line, line + strspn(line, " \t"), strlen(line + strspn(line, " \t")) + 1);
	return got;
}

static bool is_twice(struct reading *reading, unsigned number)
{
	bool twice = reading->seen >> number & 1;

	reading->seen |= 1u << number;
	return twice;
}

static int take_auto(struct config *config, const char *value, struct problem *problem)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return problem_set(problem, STATUS_USAGE, "auto=%s: neither yes nor no", value);
	config->manual = *value == 'n';
	return 0;
}

static int take_key(struct reading *reading, const char *key, const char *value, struct problem *problem)
{
	unsigned number = 0;

	while (settings_keys[number] && strcmp(settings_keys[number], key) != 0)
		number++;
	if (strcmp(key, "name") == 0)
		return problem_set(problem, STATUS_USAGE, "name=%s: the file's name is it; rename the file", value);
	if (strcmp(key, "auto") != 0 && !settings_keys[number])
		return problem_set(problem, STATUS_USAGE, "%s=%s: no such key; there are auto and the options of platter attach", key, value);
	if (is_twice(reading, number))
		return problem_set(problem, STATUS_USAGE, "%s=%s: it stands there twice", key, value);
	return settings_keys[number] ? settings_set(&reading->config->settings, key, value, problem) : take_auto(reading->config, value, problem);
}

/* inih has found a setting. */
static int take(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;
	struct problem problem;

	if (*section && strcmp(section, "attach") != 0)
		complain(reading, reading->line, section, "not a section; [attach] is the only one, and may be left out");
	else if (take_key(reading, key, value, &problem) < 0)
		complain(reading, reading->line, "", problem.text);
	return 1;
}

static int read_lines(struct config *config)
{
	struct reading reading = { .config = config, .file = fopen(config->file, "re") };
	int result;

	if (!reading.file) {
		problem_set(&config->problem, errno == EACCES ? STATUS_PERMISSION : STATUS_USAGE, "%s: %s", config->file, strerror(errno));
		return -1;
	}
#if HAVE_DECL_INI_MAX_LINE
	ini_max_line = LONGEST_LINE;
#endif
	result = ini_parse_stream(read_line, &reading, take, &reading);
	fclose(reading.file);
	if (result > 0)
		complain(&reading, (unsigned)result, "", "neither KEY = VALUE nor [attach]");
	else if (result < 0)
		problem_memory(&config->problem);
	return config->problem.status == STATUS_OK ? 0 : -1;
}

/* CONFIG has a file, whose name begins with that of what is to be attached. */
static int read_file(struct config *config)
{
	const char *name = strrchr(config->file, '/') + 1;
	char *stem = strndup(name, strlen(name) - strlen(ending));
	struct problem problem;
	int result = -1;

	if (!stem)
		problem_memory(&config->problem);
	else if (settings_set(&config->settings, "name", stem, &problem) < 0)
		set_problem(config, problem.text);
	else if (read_lines(config) == 0)
		result = settings_complete(&config->settings, &problem) < 0 ? set_problem(config, problem.text) : 0;
	free(stem);
	return result;
}

/* --- All of them */

struct list {
	struct config *all;
	int count;
};

/* Takes FILE. */
static struct config *add(struct list *list, char *file, unsigned line)
{
	struct config *more = file ? reallocarray(list->all, (size_t)list->count + 1, sizeof(*more)) : NULL;

	if (!more) {
		free(file);
		return NULL;
	}
	list->all = more;
	more += list->count++;
	*more = (struct config){ .file = file, .line = line };
	settings_init(&more->settings);
	return more;
}

static int is_configuration(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length >= sizeof(ending) && strcmp(entry->d_name + length + 1 - sizeof(ending), ending) == 0;
}

static int add_directory(struct list *list)
{
	struct dirent **entries = NULL;
	int count = scandir(directory(), &entries, is_configuration, alphasort), result = 0;

	for (int i = 0; i < count; i++) {
		struct config *config;
		char *path;

		if (asprintf(&path, "%s/%s", directory(), entries[i]->d_name) < 0)
			path = NULL;
		config = result == 0 ? add(list, path, 0) : NULL;
		if (config)
			read_file(config);
		else
			result = -1;
		free(entries[i]);
	}
	free(entries);
	return result;
}

static int add_line(struct list *list, const char *line, unsigned number)
{
	struct problem problem;
	struct nbdtab entry;
	int found = nbdtab_parse(&entry, line, &problem);
	struct config *config;

	if (found == 0)
		return 0;
	config = add(list, strdup(nbdtab()), number);
	if (!config) {
		nbdtab_free(&entry);
		return -1;
	}
	if (found < 0) {
		set_problem(config, problem.text);
		return 0;
	}
	config->settings = entry.settings;
	config->manual = entry.manual;
	strcpy(config->notice, entry.notice);
	return 0;
}

static int add_nbdtab(struct list *list)
{
	FILE *file = fopen(nbdtab(), "re");
	unsigned number = 0;
	char *line = NULL;
	size_t room = 0;
	int result = 0;

	while (file && result == 0 && getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		result = add_line(list, line, ++number);
	}
	free(line);
	if (file)
		fclose(file);
	return result;
}

/* Each name and each device is what comes first. */
static void find_clash(const struct list *list, struct config *config)
{
	for (const struct config *other = list->all; other < config; other++) {
		char text[200];

		if (other->problem.status != STATUS_OK)
			continue;
		if (strcmp(other->settings.name, config->settings.name) == 0)
			snprintf(text, sizeof(text), "%s is another one's name; give it its own (in nbdtab _name=NAME)", other->settings.name);
		else if (other->settings.device >= 0 && other->settings.device == config->settings.device)
			snprintf(text, sizeof(text), "nbd%d is the device of %s, too; choose another one", other->settings.device,
				 other->settings.name);
		else
			continue;
		set_problem(config, text);
		return;
	}
}

int config_list(struct config **ret, struct problem *problem)
{
	struct list list = { 0 };

	if (add_directory(&list) < 0 || add_nbdtab(&list) < 0) {
		config_list_free(list.all, list.count);
		return problem_memory(problem);
	}
	for (int i = 0; i < list.count; i++)
		if (list.all[i].problem.status == STATUS_OK)
			find_clash(&list, &list.all[i]);
	*ret = list.all;
	return list.count;
}

static void config_free(struct config *config)
{
	settings_free(&config->settings);
	free(config->file);
}

void config_list_free(struct config *list, int count)
{
	for (int i = 0; i < count; i++)
		config_free(&list[i]);
	free(list);
}

/* --- One of them */

bool config_is_name(const char *argument)
{
	return !strstr(argument, "://") && (settings_is_name(argument) || device_index(argument) >= 0);
}

static int copy(struct settings *settings, const struct config *from, struct problem *problem)
{
	int result = 0;

	if (from->problem.status != STATUS_OK) {
		*problem = from->problem;
		return -1;
	}
	if (from->notice[0])
		log_notice("%s:%u: %s", from->file, from->line, from->notice);
	for (const char *const *key = settings_keys; *key && result == 0; key++) {
		char *value = settings_get(&from->settings, *key);

		if (value)
			result = settings_set(settings, *key, value, problem);
		free(value);
	}
	return result;
}

static bool is_of(const struct config *config, const char *name)
{
	int index = device_index(name);

	return index >= 0 ? config->settings.device == index : config->settings.name && strcmp(config->settings.name, name) == 0;
}

/* Of the list; a line that can't be read could be the one. */
static int load_listed(struct settings *settings, const char *name, struct problem *problem)
{
	const struct config *found = NULL, *unknown = NULL;
	struct config *all;
	int count = config_list(&all, problem), result;

	if (count < 0)
		return -1;
	for (int i = 0; i < count && !found; i++) {
		if (is_of(&all[i], name))
			found = &all[i];
		else if (!all[i].settings.name && !unknown)
			unknown = &all[i];
	}
	if (found || unknown)
		result = copy(settings, found ? found : unknown, problem);
	else
		result = problem_set(problem, STATUS_USAGE, "%s: not a URI, and there is neither %s/%s%s nor such a line in %s", name, directory(), name,
				     ending, nbdtab());
	config_list_free(all, count);
	return result;
}

int config_load(struct settings *settings, const char *name, struct problem *problem)
{
	struct config config = { 0 };
	int result;

	settings_init(&config.settings);
	if (asprintf(&config.file, "%s/%s%s", SERVICE_DIRECTORY, name, ending) < 0)
		return problem_memory(problem);
	if (access(config.file, F_OK) < 0) {
		result = load_listed(settings, name, problem);
	} else {
		read_file(&config);
		result = copy(settings, &config, problem);
	}
	config_free(&config);
	return result;
}
