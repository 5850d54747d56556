/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/mount_options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platter/settings.h"

static const char prefix[] = "nbd-", type[] = "fstype=";

/* A comma between quotes belongs to the value. */
static size_t length_of(const char *option)
{
	bool quoted = false;
	size_t length = 0;

	for (; option[length] && (quoted || option[length] != ','); length++)
		quoted ^= option[length] == '"';
	return length;
}

static bool is_key(const char *option)
{
	size_t length = strcspn(option, "=");

	for (const char *const *key = settings_keys; *key; key++)
		if (strlen(*key) == length && strncmp(*key, option, length) == 0)
			return strcmp(*key, "uri") != 0;
	return false;
}

/* "device" is an option of btrfs's, too. */
static bool is_ours_alone(const char *option)
{
	return is_key(option) && strncmp(option, "device=", 7) != 0;
}

static int add_word(struct mount_options *options, const char *option, struct problem *problem)
{
	char key[32];

	snprintf(key, sizeof(key), "%.*s", (int)strcspn(option, "="), option);
	if (settings_is_flag(key) && strchr(option, '='))
		return problem_set(problem, STATUS_USAGE, "%s: %s has no value; leave it out or write it alone", option, key);
	if (!settings_is_flag(key) && !strchr(option, '='))
		return problem_set(problem, STATUS_USAGE, "%s: a value is missing", option);
	if (options->count == MOUNT_OPTIONS_MOST)
		return problem_set(problem, STATUS_USAGE, "%s: more than %d options", option, MOUNT_OPTIONS_MOST);
	if (asprintf(&options->words[options->count], "--%s", option) < 0)
		return problem_memory(problem);
	options->count++;
	return 0;
}

static int take(struct mount_options *options, const char *option, struct problem *problem)
{
	size_t used = strlen(options->rest);

	if (strncmp(option, prefix, sizeof(prefix) - 1) == 0) {
		option += sizeof(prefix) - 1;
		return is_key(option) ? add_word(options, option, problem)
				      : problem_set(problem, STATUS_USAGE, "%s%s: not an option of platter attach", prefix, option);
	}
	if (is_ours_alone(option))
		return add_word(options, option, problem);
	if (strncmp(option, type, sizeof(type) - 1) == 0) {
		free(options->type);
		options->type = strdup(option + sizeof(type) - 1);
		return options->type ? 0 : problem_memory(problem);
	}
	/* There is room: all that stays was in the text. */
	sprintf(options->rest + used, "%s%s", used ? "," : "", option);
	return strcmp(option, "ro") == 0 ? add_word(options, "read-only", problem) : 0;
}

int mount_options_parse(struct mount_options *options, const char *text, struct problem *problem)
{
	int result = 0;

	*options = (struct mount_options){ .rest = calloc(1, strlen(text) + 1) };
	if (!options->rest)
		return problem_memory(problem);
	while (*text && result == 0) {
		size_t length = length_of(text);
		char *option = strndup(text, length);

		if (!option)
			result = problem_memory(problem);
		else if (length)
			result = take(options, option, problem);
		free(option);
		text += length + (text[length] == ',');
	}
	return result;
}

void mount_options_free(struct mount_options *options)
{
	for (unsigned i = 0; i < options->count; i++)
		free(options->words[i]);
	free(options->type);
	free(options->rest);
	*options = (struct mount_options){ 0 };
}
