/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/state.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/platter/alias.h"
#include "client/platter/device.h"

#define PATH 128

void state_free(struct state *state)
{
	settings_free(&state->settings);
	free(state->backend);
	state->backend = NULL;
}

static void path_of(char *path, unsigned index)
{
	snprintf(path, PATH, "%s/nbd%u", STATE_DIRECTORY, index);
}

static int cannot_write(struct problem *problem, const char *path)
{
	return problem_set(problem, errno == EACCES || errno == EPERM ? STATUS_PERMISSION : STATUS_FAILED, "%s: %s", path, strerror(errno));
}

int state_lock(struct problem *problem)
{
	int fd;

	(void)mkdir("/run/platter", 0755);
	(void)mkdir(STATE_DIRECTORY, 0755);
	fd = open(STATE_DIRECTORY "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return fd;
	cannot_write(problem, STATE_DIRECTORY "/lock");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* --- Writing */

static void write_line(FILE *file, const char *key, const char *value)
{
	fputs("PLATTER_", file);
	for (; *key; key++)
		fputc(*key == '-' ? '_' : toupper((unsigned char)*key), file);
	fputs("=\"", file);
	for (; *value; value++) {
		if (strchr("\"\\$`", *value))
			fputc('\\', file);
		fputc(*value, file);
	}
	fputs("\"\n", file);
}

static void write_number(FILE *file, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	write_line(file, key, text);
}

static void write_all(FILE *file, const struct state *state)
{
	char alias[ALIAS_SIZE];

	for (const char *const *key = settings_keys; *key; key++) {
		char *value = settings_get(&state->settings, *key);

		if (value)
			write_line(file, *key, value);
		free(value);
	}
	write_number(file, "links", state->links);
	write_number(file, "size", state->size);
	write_number(file, "flags", state->flags);
	write_number(file, "minimum", state->minimum);
	write_number(file, "maximum", state->maximum);
	write_line(file, "identity", state->identity);
	write_line(file, "backend", state->backend);
	/* For udev, which takes what is between the quotes as it is. */
	if (alias_by_path(alias, &state->settings.uri) == 0)
		fprintf(file, "PLATTER_PATH=\"%s\"\n", alias);
}

/* Nobody sees half of it. */
int state_write(const struct state *state, struct problem *problem)
{
	char path[PATH], new[PATH + 8];
	FILE *file;
	bool written;

	path_of(path, state->index);
	snprintf(new, sizeof(new), "%s.new", path);
	file = fopen(new, "we");
	if (!file)
		return cannot_write(problem, new);
	write_all(file, state);
	written = !ferror(file);
	if (fclose(file) != 0 || !written || rename(new, path) < 0) {
		cannot_write(problem, path);
		unlink(new);
		return -1;
	}
	return 0;
}

void state_remove(unsigned index)
{
	char path[PATH];

	path_of(path, index);
	unlink(path);
}

/* --- Reading */

/* VALUE between its quotes, in place; NULL: it has none. */
static char *unquote(char *value)
{
	char *to = value, *from = value + 1;

	if (*value != '"')
		return NULL;
	while (*from && *from != '"') {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*to = '\0';
	return *from == '"' ? value : NULL;
}

static bool take_number(struct state *state, const char *key, const char *value)
{
	uint64_t number = strtoull(value, NULL, 10);

	if (strcmp(key, "links") == 0)
		state->links = (unsigned)number;
	else if (strcmp(key, "size") == 0)
		state->size = number;
	else if (strcmp(key, "flags") == 0)
		state->flags = (uint16_t)number;
	else if (strcmp(key, "minimum") == 0)
		state->minimum = (uint32_t)number;
	else if (strcmp(key, "maximum") == 0)
		state->maximum = (uint32_t)number;
	else
		return false;
	return true;
}

static int take_line(struct state *state, char *line, struct problem *problem)
{
	static const char prefix[] = "PLATTER_";
	char *key = line + sizeof(prefix) - 1, *value = strchr(line, '=');

	if (!value || strncmp(line, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	*value++ = '\0';
	value = unquote(value);
	for (char *at = key; *at; at++)
		*at = *at == '_' ? '-' : (char)tolower((unsigned char)*at);
	if (!value || take_number(state, key, value))
		return 0;
	if (strcmp(key, "identity") == 0 && strlen(value) <= HANDSHAKE_UUID) {
		strcpy(state->identity, value);
		return 0;
	}
	if (strcmp(key, "backend") == 0) {
		free(state->backend);
		state->backend = strdup(value);
		return state->backend ? 0 : problem_memory(problem);
	}
	for (const char *const *known = settings_keys; *known; known++)
		if (strcmp(*known, key) == 0)
			return settings_set(&state->settings, key, value, problem);
	return 0;
}

static int read_file(struct state *state, unsigned index, struct problem *problem)
{
	char path[PATH];
	char *line = NULL;
	size_t room = 0;
	int result = 0;
	FILE *file;

	path_of(path, index);
	file = fopen(path, "re");
	if (!file)
		return problem_set(problem, STATUS_NOT_ATTACHED, "nbd%u isn't attached by platter", index);
	while (result == 0 && getline(&line, &room, file) > 0)
		result = take_line(state, line, problem);
	free(line);
	fclose(file);
	return result;
}

static int read_one(struct state *state, unsigned index, struct problem *problem)
{
	char backend[DEVICE_BACKEND];

	*state = (struct state){ .index = index };
	settings_init(&state->settings);
	if (read_file(state, index, problem) < 0 || settings_complete(&state->settings, problem) < 0) {
		state_free(state);
		return -1;
	}
	if (!state->backend || !device_backend(index, backend) || strcmp(backend, state->backend) != 0 || state->links == 0 ||
	    state->links > SETTINGS_MOST_CONNECTIONS) {
		state_free(state);
		return problem_set(problem, STATUS_NOT_ATTACHED, "nbd%u isn't attached by platter", index);
	}
	return 0;
}

struct list {
	struct state *states;
	unsigned count;
};

static bool add_to_list(unsigned index, void *argument)
{
	struct list *list = argument;
	struct problem ignored;
	struct state state;
	struct state *more;

	if (read_one(&state, index, &ignored) < 0)
		return true;
	more = reallocarray(list->states, list->count + 1, sizeof(*more));
	if (!more) {
		state_free(&state);
		return false;
	}
	list->states = more;
	list->states[list->count++] = state;
	return true;
}

static int by_index(const void *a, const void *b)
{
	const struct state *one = a, *other = b;

	return one->index < other->index ? -1 : one->index > other->index;
}

unsigned state_list(struct state **ret)
{
	struct list list = { 0 };

	device_each(add_to_list, &list);
	if (list.count)
		qsort(list.states, list.count, sizeof(*list.states), by_index);
	*ret = list.states;
	return list.count;
}

int state_find(struct state *state, const char *name, struct problem *problem)
{
	int index = device_index(name);
	struct state *states;
	unsigned count;

	if (index >= 0)
		return read_one(state, (unsigned)index, problem);
	count = state_list(&states);
	*state = (struct state){ 0 };
	for (unsigned i = 0; i < count; i++) {
		if (!state->backend && strcmp(states[i].settings.name, name) == 0)
			*state = states[i];
		else
			state_free(&states[i]);
	}
	free(states);
	return state->backend ? 0 : problem_set(problem, STATUS_NOT_ATTACHED, "%s: nothing of that name is attached", name);
}
