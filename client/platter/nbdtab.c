/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/nbdtab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platter/device.h"

static const char blanks[] = " \t\r";

/* A line while it is read; its strings are parts of a copy of it. */
struct reading {
	struct nbdtab *entry;
	const char *device, *host, *export;
	const char *port;
	const char *files[3];  /* of TLS, by enum file; NULL */
	const char *hostname;  /* NULL */
	bool tls, is_unix, swap, has_dead_timeout;
	struct problem *problem;
};

enum file { CA, CERTIFICATE, KEY };

/* How nbd-client calls each, and how we do. */
static const struct { const char *option, *name; } files[] = { { "cacertfile", "ca-cert.pem" }, { "certfile", "client-cert.pem" },
								{ "keyfile", "client-key.pem" } };

static int wrong(struct reading *reading, const char *key, const char *value, const char *what)
{
	return problem_set(reading->problem, STATUS_USAGE, "%s%s%s: %s", key, value ? "=" : "", value ? value : "", what);
}

static int notice(struct reading *reading, const char *key, const char *value, const char *what)
{
	char *text = reading->entry->notice;
	size_t used = strlen(text);

	snprintf(text + used, sizeof(reading->entry->notice) - used, "%s%s%s%s: %s", used ? "; " : "", key, value ? "=" : "", value ? value : "",
		 what);
	return 0;
}

static int set(struct reading *reading, const char *key, const char *value)
{
	reading->has_dead_timeout |= strcmp(key, "dead-timeout") == 0;
	return settings_set(&reading->entry->settings, key, value, reading->problem);
}

/* --- Options */

/* Those that mean one of our settings. */
static const struct { const char *option, *key; } same[] = {
	{ "timeout", "timeout" },
	{ "dead-timeout", "dead-timeout" },
	{ "conns", "connections" },
	{ "connections", "connections" },
	{ "readonly", "read-only" },
};

/* Those that do nothing here, and why; NULL: because it is so anyway. */
static const struct { const char *option, *why; } idle[] = {
	{ "persist", NULL },
	{ "systemd-mark", NULL },
	{ "nofork", NULL },
	{ "bs", "ignored: blocks are the server's smallest" },
	{ "block-size", "ignored: blocks are the server's smallest" },
	{ "size", "ignored: the server says it" },
	{ "no_optgo", "ignored: servers are asked with NBD_OPT_GO" },
	{ "nonetlink", "ignored: netlink is what is used" },
	{ "priority", "ignored: TLS is 1.3, with what both sides know" },
};

/* What can't be had. */
static const struct { const char *option, *why; } refused[] = {
	{ "sdp", "there is no Socket Direct Protocol any more; remove it" },
	{ "preinit", "connections that others have made can't be taken over; remove it" },
};

/* What nbd-client leaves to others: _KEY, of ours. */
static int take_ours(struct reading *reading, const char *option, const char *value)
{
	char key[32];

	snprintf(key, sizeof(key), "%s", option + 1);
	for (char *at = key; *at; at++)
		if (*at == '_')
			*at = '-';
	if (strcmp(key, "noauto") == 0) {
		reading->entry->manual = true;
		return 0;
	}
	for (const char *const *known = settings_keys; *known; known++)
		if (strcmp(*known, key) == 0)
			return set(reading, key, value);
	return notice(reading, option, value, "not one of ours");
}

/* 1: it isn't one of these. */
static int take_place(struct reading *reading, const char *option, const char *value)
{
	const struct { const char *option; const char **text; bool *flag; } places[] = {
		{ "port", &reading->port, NULL },
		{ files[CA].option, &reading->files[CA], &reading->tls },
		{ files[CERTIFICATE].option, &reading->files[CERTIFICATE], &reading->tls },
		{ files[KEY].option, &reading->files[KEY], &reading->tls },
		{ "tlshostname", &reading->hostname, &reading->tls },
		{ "tls", NULL, &reading->tls },
		{ "enable-tls", NULL, &reading->tls },
		{ "unix", NULL, &reading->is_unix },
		{ "swap", NULL, &reading->swap },
		{ "noauto", NULL, &reading->entry->manual },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strcmp(option, places[i].option) != 0)
			continue;
		if (places[i].text && (!value || !*value))
			return wrong(reading, option, value, "a value is missing");
		if (!places[i].text && value)
			return wrong(reading, option, value, "it has no value");
		if (places[i].text)
			*places[i].text = value;
		if (places[i].flag)
			*places[i].flag = true;
		return 0;
	}
	return 1;
}

static int take_option(struct reading *reading, char *option)
{
	char *value = strchr(option, '=');
	int result;

	if (value)
		*value++ = '\0';
	if (*option == '_')
		return take_ours(reading, option, value);
	result = take_place(reading, option, value);
	if (result <= 0)
		return result;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (strcmp(option, same[i].option) == 0)
			return set(reading, same[i].key, value);
	for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
		if (strcmp(option, idle[i].option) == 0)
			return idle[i].why ? notice(reading, option, value, idle[i].why) : 0;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcmp(option, refused[i].option) == 0)
			return wrong(reading, option, value, refused[i].why);
	return notice(reading, option, value, "not an option that is known");
}

static int take_options(struct reading *reading, char *options)
{
	char *rest = options, *option;

	while (rest && (option = strsep(&rest, ",")))
		if (*option && take_option(reading, option) < 0)
			return -1;
	/* Memory that is swapped out must not be lost because its server was away for some minutes. */
	if (reading->swap && !reading->has_dead_timeout)
		return set(reading, "dead-timeout", "infinity");
	return 0;
}

/* --- Columns */

static int take_device(struct reading *reading)
{
	struct settings *settings = &reading->entry->settings;

	if (device_index(reading->device) >= 0)
		return set(reading, "device", reading->device);
	if (settings->name)
		return problem_set(reading->problem, STATUS_USAGE, "_name=%s: the first column has a name, %s, already", settings->name,
				   reading->device);
	return set(reading, "name", reading->device);
}

/* The directory that all files are in, under the names which they have to have. */
static int take_files(struct reading *reading)
{
	const char *directory = NULL;
	size_t length = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *path = reading->files[i], *slash = path ? strrchr(path, '/') : NULL;

		if (!path)
			continue;
		if (!slash || strcmp(slash + 1, files[i].name) != 0 ||
		    (directory && ((size_t)(slash - path) != length || strncmp(path, directory, length) != 0)))
			return problem_set(reading->problem, STATUS_USAGE,
					   "%s=%s: the files have to be ca-cert.pem, client-cert.pem and client-key.pem in one directory; "
					   "make one with links to them, DIR, and write _tls_certificates=DIR instead", files[i].option, path);
		directory = path;
		length = (size_t)(slash - path);
	}
	if (directory) {
		char *copy = strndup(directory, length ? length : 1);
		int result = copy ? set(reading, "tls-certificates", copy) : problem_memory(reading->problem);

		free(copy);
		return result;
	}
	return 0;
}

static int take_server(struct reading *reading)
{
	static char port[] = "10809";
	char *host = strdup(reading->host), *export = strdup(reading->export), *chosen = strdup(reading->port ? reading->port : port);
	const struct uri uri = {
		.tls = reading->tls,
		.host = reading->is_unix ? NULL : host,
		.port = chosen,
		.socket = reading->is_unix ? host : NULL,
		.export = export,
	};
	char *text = host && export && chosen ? uri_canonical(&uri) : NULL;
	int result = text ? set(reading, "uri", text) : problem_memory(reading->problem);

	free(host);
	free(export);
	free(chosen);
	free(text);
	return result;
}

/* The fourth is missing where there are no options, and may be in several pieces by mistake. */
static int take_columns(struct reading *reading, char *line)
{
	char *columns[5] = { NULL }, *rest = line;
	unsigned count = 0;

	while (rest && count < 5) {
		char *column = strsep(&rest, blanks);

		if (*column)
			columns[count++] = column;
	}
	if (count == 0)
		return 0;
	if (count < 3)
		return problem_set(reading->problem, STATUS_USAGE, "%s: device, host and export are needed, as in: nbd0 server export", columns[0]);
	if (count > 4)
		return problem_set(reading->problem, STATUS_USAGE, "%s: a fifth column; options are separated by commas, without blanks", columns[4]);
	reading->device = columns[0];
	reading->host = columns[1];
	reading->export = columns[2];
	if (take_options(reading, columns[3]) < 0 || take_device(reading) < 0 || take_files(reading) < 0)
		return -1;
	if (reading->hostname && set(reading, "tls-hostname", reading->hostname) < 0)
		return -1;
	if (!reading->entry->settings.uri_text && take_server(reading) < 0)
		return -1;
	return settings_complete(&reading->entry->settings, reading->problem) < 0 ? -1 : 1;
}

int nbdtab_parse(struct nbdtab *entry, const char *line, struct problem *problem)
{
	struct reading reading = { .entry = entry, .problem = problem };
	char *copy = strndup(line, strcspn(line, "#"));
	int result;

	*entry = (struct nbdtab){ 0 };
	settings_init(&entry->settings);
	result = copy ? take_columns(&reading, copy) : problem_memory(problem);
	free(copy);
	if (result <= 0)
		nbdtab_free(entry);
	return result;
}

void nbdtab_free(struct nbdtab *entry)
{
	settings_free(&entry->settings);
}
