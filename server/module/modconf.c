/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/modconf.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <platter/driver.h>

#include "server/block/error.h"
#include "server/module/modname.h"
#include "server/module/text_file.h"

enum kind { ALIAS, OPTION, BLACKLIST, SOFTDEP_BEFORE, SOFTDEP_AFTER, LOAD };

struct entry {
	enum kind kind;
	char *key;   /* a module's name; ALIAS: a pattern */
	char *value; /* ALIAS: a module; OPTION: a parameter; SOFTDEP_*: a module or an alias; else "" */
};

struct modconf {
	struct entry *entries; /* in the order of the lines */
	size_t count;
};

/* A line that is being parsed. */
struct line {
	struct modconf *conf;
	const char *file;
	unsigned number;
	char *rest;    /* what isn't parsed yet */
	bool unclosed; /* a quote was missing */
	struct platter_error *error;
};

struct modconf *modconf_new(void)
{
	return calloc(1, sizeof(struct modconf));
}

void modconf_free(struct modconf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->count; i++) {
		free(conf->entries[i].key);
		free(conf->entries[i].value);
	}
	free(conf->entries);
	free(conf);
}

static int add(struct line *line, enum kind kind, const char *key, const char *value)
{
	struct modconf *conf = line->conf;
	struct entry entry = { .kind = kind, .key = strdup(key), .value = strdup(value) };
	struct entry *entries = conf->entries;

	/* Room doubles whenever the count is a power of two. */
	if ((conf->count & (conf->count - 1)) == 0)
		entries = realloc(entries, (conf->count ? 2 * conf->count : 1) * sizeof(*entries));
	if (entries)
		conf->entries = entries;
	if (!entries || !entry.key || !entry.value) {
		free(entry.key);
		free(entry.value);
		return platter_fail(line->error, ENOMEM, "no memory");
	}
	conf->entries[conf->count++] = entry;
	return 0;
}

/* The next word, a module's name, in *RET; WHAT the line is, for messages. */
static int take_module(struct line *line, const char *what, char **ret)
{
	char *name = text_word(&line->rest, &line->unclosed);

	if (!name)
		return platter_fail(line->error, EINVAL, "%s:%u: %s: a module's name is missing", line->file, line->number, what);
	if (!modname_valid(name))
		return platter_fail(line->error, EINVAL, "%s:%u: %s: '%.100s' isn't a module's name (letters, digits, - and _)",
				    line->file, line->number, what, name);
	*ret = modname_underscores(name);
	return 0;
}

/* Nothing may follow. */
static int take_end(struct line *line, const char *what)
{
	char *word = text_word(&line->rest, &line->unclosed);

	if (!word)
		return 0;
	return platter_fail(line->error, EINVAL, "%s:%u: %s: '%.100s' is too much; a comment needs a line of its own", line->file,
			    line->number, what, word);
}

static int parse_alias(struct line *line)
{
	char *pattern = text_word(&line->rest, &line->unclosed), *module;
	int result;

	if (!pattern)
		return platter_fail(line->error, EINVAL, "%s:%u: alias: a name and a module are missing", line->file, line->number);
	if (!modname_pattern(pattern))
		return platter_fail(line->error, EINVAL, "%s:%u: alias: a ] is missing in '%.100s'", line->file, line->number, pattern);
	result = take_module(line, "alias", &module);
	if (result == 0)
		result = take_end(line, "alias");
	return result < 0 ? result : add(line, ALIAS, pattern, module);
}

static int parse_options(struct line *line)
{
	char *module, *option, *end;
	int result = take_module(line, "options", &module);
	size_t count = 0;

	while (result == 0 && (option = text_word(&line->rest, &line->unclosed))) {
		char equals;

		end = strchrnul(option, '=');
		equals = *end;
		*end = '\0';
		if (!modname_valid(option))
			return platter_fail(line->error, EINVAL, "%s:%u: options: '%.100s' isn't a parameter's name; write NAME=VALUE",
					    line->file, line->number, option);
		*end = equals;
		result = add(line, OPTION, module, option);
		count++;
	}
	if (result == 0 && count == 0)
		return platter_fail(line->error, EINVAL, "%s:%u: options: a parameter is missing: write NAME=VALUE", line->file,
				    line->number);
	return result;
}

static int parse_blacklist(struct line *line)
{
	char *module;
	int result = take_module(line, "blacklist", &module);

	if (result == 0)
		result = take_end(line, "blacklist");
	return result < 0 ? result : add(line, BLACKLIST, module, "");
}

static int parse_softdep(struct line *line)
{
	char *module, *word;
	int result = take_module(line, "softdep", &module);
	enum kind kind = LOAD; /* none yet */
	size_t count = 0;

	while (result == 0 && (word = text_word(&line->rest, &line->unclosed))) {
		if (strcmp(word, "pre:") == 0)
			kind = SOFTDEP_BEFORE;
		else if (strcmp(word, "post:") == 0)
			kind = SOFTDEP_AFTER;
		else if (kind == LOAD || !*word || word[strlen(word) - 1] == ':')
			return platter_fail(line->error, EINVAL, "%s:%u: softdep: '%.100s' stands where pre: or post: should", line->file,
					    line->number, word);
		else
			result = add(line, kind, module, modname_underscores(word));
		count++;
	}
	if (result == 0 && count == 0)
		return platter_fail(line->error, EINVAL, "%s:%u: softdep: pre: or post: and modules are missing", line->file,
				    line->number);
	return result;
}

/* The INDEX-th of KIND whose key is KEY. */
static const struct entry *find(const struct modconf *conf, enum kind kind, const char *key, size_t index)
{
	for (size_t i = 0; i < conf->count; i++) {
		const struct entry *entry = &conf->entries[i];

		if (entry->kind == kind && modname_equal(entry->key, key) && index-- == 0)
			return entry;
	}
	return NULL;
}

static int parse_load(struct line *line)
{
	char *module, *word;
	int result = take_module(line, "load", &module);

	if (result == 0 && (word = text_word(&line->rest, &line->unclosed)))
		return platter_fail(line->error, EINVAL, "%s:%u: load: '%.100s' is too much; parameters are given with options %s ...",
				    line->file, line->number, word, module);
	if (result < 0 || find(line->conf, LOAD, module, 0))
		return result;
	return add(line, LOAD, module, "");
}

static int parse_command(struct line *line)
{
	return platter_fail(line->error, EINVAL,
			    "%s:%u: install and remove: running commands is not supported; use softdep, alias or load", line->file,
			    line->number);
}

static const struct {
	const char *word;
	int (*parse)(struct line *line);
} keywords[] = {
	{ "alias", parse_alias },     { "options", parse_options }, { "blacklist", parse_blacklist },
	{ "softdep", parse_softdep }, { "load", parse_load },       { "install", parse_command },
	{ "remove", parse_command },
};

static int parse_line(struct line *line)
{
	char *word = text_word(&line->rest, &line->unclosed);
	int result;

	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (strcmp(word, keywords[i].word) != 0)
			continue;
		result = keywords[i].parse(line);
		/* An unclosed quote makes other mistakes of it, too: tell the cause. */
		if (line->unclosed && result != -ENOMEM)
			return platter_fail(line->error, EINVAL, "%s:%u: %s: a quote isn't closed", line->file, line->number, word);
		return result;
	}
	return platter_fail(line->error, EINVAL,
			    "%s:%u: unknown keyword '%.100s' (there are: alias, blacklist, load, options, softdep)", line->file,
			    line->number, word);
}

int modconf_parse(struct modconf *conf, const char *file, const char *text, struct platter_error *error)
{
	char *copy = strdup(text);
	struct text_lines lines = { .next = copy };
	struct line line = { .conf = conf, .file = file, .error = error };
	int result = 0;

	if (!copy)
		return platter_fail(error, ENOMEM, "no memory");
	while (result == 0 && (line.rest = text_lines_next(&lines))) {
		line.number = lines.line;
		result = parse_line(&line);
	}
	free(copy);
	return result;
}

int modconf_read_file(struct modconf *conf, const char *path, struct platter_error *error)
{
	char *text;
	int result = text_file_read(path, &text, error);

	if (result < 0)
		return result;
	result = modconf_parse(conf, path, text, error);
	free(text);
	return result;
}

static int is_conf(const struct dirent *entry)
{
	return fnmatch("*.conf", entry->d_name, FNM_PERIOD) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_member(struct modconf *conf, const char *directory, const char *name, struct platter_error *error)
{
	struct stat status;
	int result = 0;
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return platter_fail(error, ENOMEM, "no memory");
	/* One that cannot be looked at is an error; reading it tells which. */
	if (stat(path, &status) < 0 || S_ISREG(status.st_mode))
		result = modconf_read_file(conf, path, error);
	free(path);
	return result;
}

int modconf_read_directory(struct modconf *conf, const char *directory, struct platter_error *error)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_conf, by_bytes), result = 0;

	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0)
		return platter_fail(error, errno, "%s: %s", directory, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = read_member(conf, directory, entries[i]->d_name, error);
		free(entries[i]);
	}
	free(entries);
	return result;
}

const char *modconf_alias(const struct modconf *conf, const char *name, size_t index)
{
	for (size_t i = 0; i < conf->count; i++) {
		const struct entry *entry = &conf->entries[i];

		if (entry->kind == ALIAS && modname_matches(entry->key, name) && index-- == 0)
			return entry->value;
	}
	return NULL;
}

const char *modconf_option(const struct modconf *conf, const char *module, size_t index)
{
	const struct entry *entry = find(conf, OPTION, module, index);

	return entry ? entry->value : NULL;
}

const char *modconf_softdep(const struct modconf *conf, const char *module, enum modconf_when when, size_t index)
{
	const struct entry *entry = find(conf, when == MODCONF_BEFORE ? SOFTDEP_BEFORE : SOFTDEP_AFTER, module, index);

	return entry ? entry->value : NULL;
}

const char *modconf_load(const struct modconf *conf, size_t index)
{
	for (size_t i = 0; i < conf->count; i++)
		if (conf->entries[i].kind == LOAD && index-- == 0)
			return conf->entries[i].key;
	return NULL;
}

bool modconf_blacklisted(const struct modconf *conf, const char *module)
{
	return find(conf, BLACKLIST, module, 0) != NULL;
}
