/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "client/platter/service.h"
#include "client/platter/settings.h"

#define PATH 512

struct reading {
	struct settings *settings;
	struct problem *problem;
	const char *path;
	FILE *file;
	unsigned line;           /* the last that was read */
	bool wrong;              /* what is wrong first was told */
};

static void complain(struct reading *reading, const char *what)
{
	if (!reading->wrong)
		problem_set(reading->problem, STATUS_USAGE, "%s:%u: %s", reading->path, reading->line, what);
	reading->wrong = true;
}

/* The callback of inih for lines, which it wants in pieces of its own buffer's size. */
static char *read_line(char *line, int size, void *stream)
{
	struct reading *reading = stream;
	char *got = fgets(line, size, reading->file);

	if (!got)
		return NULL;
	reading->line++;
	if (!strchr(line, '\n') && !feof(reading->file)) {
		complain(reading, "the line is too long");
		return NULL;
	}
	return got;
}

/* The callback of inih for settings. */
static int take(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;
	struct problem problem;

	if (*section && strcmp(section, "attach") != 0)
		complain(reading, "not a section; [attach] is the only one, and may be left out");
	else if (strcmp(key, "name") == 0)
		complain(reading, "name: the file has it");
	else if (settings_set(reading->settings, key, value, &problem) < 0)
		complain(reading, problem.text);
	return !reading->wrong;
}

int config_read(struct settings *settings, const char *path, struct problem *problem)
{
	struct reading reading = { .settings = settings, .problem = problem, .path = path };
	int result;

	reading.file = fopen(path, "re");
	if (!reading.file)
		return problem_set(problem, errno == EACCES ? STATUS_PERMISSION : STATUS_USAGE, "%s: %s", path, strerror(errno));
	result = ini_parse_stream(read_line, &reading, take, &reading);
	fclose(reading.file);
	if (result == 0 || reading.wrong)
		return reading.wrong ? -1 : 0;
	return problem_set(problem, STATUS_USAGE, "%s:%d: neither KEY = VALUE nor [attach]", path, result);
}

bool config_is_name(const char *argument)
{
	return !strstr(argument, "://") && settings_is_name(argument);
}

int config_load(struct settings *settings, const char *name, struct problem *problem)
{
	static const char *const directories[] = { SERVICE_DIRECTORY, CONFIG_DIRECTORY };
	char path[PATH];

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s.conf", directories[i], name);
		if (access(path, F_OK) == 0)
			return config_read(settings, path, problem);
	}
	return problem_set(problem, STATUS_USAGE, "%s: neither a URI, nor is there %s/%s.conf", name, CONFIG_DIRECTORY, name);
}
