/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platter/device.h"

#define DEFAULT_TIMEOUT 30
#define DEFAULT_DEAD_TIMEOUT 300
/* The kernel counts a request's time in 32 bits of jiffies, of which a second has up to 1000. */
#define MOST_TIMEOUT UINT64_C(4000000)
/* A longer wait than a century is the kernel's arithmetic no more. */
#define MOST_DEAD_TIMEOUT UINT64_C(3000000000)

enum kind { TEXT, FLAG, TIMEOUT, DEAD_TIMEOUT, CONNECTIONS, DEVICE };

static const struct key {
	const char *name;
	enum kind kind;
	size_t offset;
} keys[] = {
	{ "uri", TEXT, offsetof(struct settings, uri_text) },
	{ "name", TEXT, offsetof(struct settings, name) },
	{ "device", DEVICE, offsetof(struct settings, device) },
	{ "read-only", FLAG, offsetof(struct settings, read_only) },
	{ "connections", CONNECTIONS, offsetof(struct settings, connections) },
	{ "timeout", TIMEOUT, offsetof(struct settings, timeout) },
	{ "dead-timeout", DEAD_TIMEOUT, offsetof(struct settings, dead_timeout) },
	{ "tls-certificates", TEXT, offsetof(struct settings, certificates) },
	{ "tls-psk", TEXT, offsetof(struct settings, psk) },
	{ "tls-hostname", TEXT, offsetof(struct settings, hostname) },
	{ "tls-trust-any", FLAG, offsetof(struct settings, trusts_any) },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

const char *const settings_keys[KEYS + 1] = { "uri", "name", "device", "read-only", "connections", "timeout", "dead-timeout",
					      "tls-certificates", "tls-psk", "tls-hostname", "tls-trust-any", NULL };

void settings_init(struct settings *settings)
{
	*settings = (struct settings){ .device = -1, .timeout = DEFAULT_TIMEOUT, .dead_timeout = DEFAULT_DEAD_TIMEOUT };
}

void settings_free(struct settings *settings)
{
	free(settings->name);
	free(settings->uri_text);
	free(settings->certificates);
	free(settings->psk);
	free(settings->hostname);
	uri_free(&settings->uri);
	settings_init(settings);
}

static const struct key *find(const char *name)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool settings_is_flag(const char *key)
{
	const struct key *found = find(key);

	return found && found->kind == FLAG;
}

static int set_text(char **place, const char *key, const char *value, struct problem *problem)
{
	char *copy;

	for (const char *at = value; *at; at++)
		if (iscntrl((unsigned char)*at))
			return problem_set(problem, STATUS_USAGE, "%s: a control character can't be in it", key);
	copy = strdup(value);
	if (!copy)
		return problem_memory(problem);
	free(*place);
	*place = copy;
	return 0;
}

static int set_flag(bool *place, const char *key, const char *value, struct problem *problem)
{
	static const struct { const char *word; bool means; } words[] = { { "yes", true }, { "true", true }, { "on", true },
									    { "no", false }, { "false", false }, { "off", false } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (value && strcmp(value, words[i].word) != 0)
			continue;
		/* The first is what one without a value means. */
		*place = words[i].means;
		return 0;
	}
	return problem_set(problem, STATUS_USAGE, "%s=%s: neither yes nor no", key, value);
}

static bool parse_number(const char *value, uint64_t least, uint64_t most, uint64_t *ret)
{
	uint64_t number;
	char *end;

	errno = 0;
	number = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno != 0 || number < least || number > most)
		return false;
	*ret = number;
	return true;
}

/* Never none: see device_took(). */
static int set_timeout(uint64_t *place, const char *value, struct problem *problem)
{
	if (parse_number(value, 1, MOST_TIMEOUT, place))
		return 0;
	return problem_set(problem, STATUS_USAGE, "timeout=%s: not a number of seconds from 1 to %" PRIu64, value, MOST_TIMEOUT);
}

static int set_dead_timeout(uint64_t *place, const char *value, struct problem *problem)
{
	if (strcmp(value, "infinity") == 0)
		*place = SETTINGS_FOR_EVER;
	else if (!parse_number(value, 0, MOST_DEAD_TIMEOUT, place))
		return problem_set(problem, STATUS_USAGE, "dead-timeout=%s: not a number of seconds up to %" PRIu64 ", nor infinity", value,
				   MOST_DEAD_TIMEOUT);
	return 0;
}

static int set_connections(unsigned *place, const char *value, struct problem *problem)
{
	uint64_t number;

	if (!parse_number(value, 1, SETTINGS_MOST_CONNECTIONS, &number))
		return problem_set(problem, STATUS_USAGE, "connections=%s: not a number from 1 to %d", value, SETTINGS_MOST_CONNECTIONS);
	*place = (unsigned)number;
	return 0;
}

static int set_device(int *place, const char *value, struct problem *problem)
{
	int index = device_index(value);

	if (index < 0)
		return problem_set(problem, STATUS_USAGE, "device=%s: not a device like nbd0 or /dev/nbd0", value);
	*place = index;
	return 0;
}

int settings_set(struct settings *settings, const char *key, const char *value, struct problem *problem)
{
	const struct key *found = find(key);
	void *place = (char *)settings + (found ? found->offset : 0);

	if (!found)
		return problem_set(problem, STATUS_USAGE, "%s: no such key", key);
	if (found->kind != FLAG && (!value || !*value))
		return problem_set(problem, STATUS_USAGE, "%s: a value is missing", key);
	switch (found->kind) {
	case TEXT: return set_text(place, key, value, problem);
	case FLAG: return set_flag(place, key, value, problem);
	case TIMEOUT: return set_timeout(place, value, problem);
	case DEAD_TIMEOUT: return set_dead_timeout(place, value, problem);
	case CONNECTIONS: return set_connections(place, value, problem);
	default: return set_device(place, value, problem);
	}
}

char *settings_get(const struct settings *settings, const char *key)
{
	const struct key *found = find(key);
	const char *place = (const char *)settings + (found ? found->offset : 0);
	char *text = NULL;
	uint64_t seconds;

	if (!found)
		return NULL;
	switch (found->kind) {
	case TEXT:
		return *(char *const *)place ? strdup(*(char *const *)place) : NULL;
	case FLAG:
		return *(const bool *)place ? strdup("yes") : NULL;
	case TIMEOUT:
	case DEAD_TIMEOUT:
		seconds = *(const uint64_t *)place;
		if (seconds == SETTINGS_FOR_EVER)
			return strdup("infinity");
		return asprintf(&text, "%" PRIu64, seconds) < 0 ? NULL : text;
	case CONNECTIONS:
		return *(const unsigned *)place == 0 || asprintf(&text, "%u", *(const unsigned *)place) < 0 ? NULL : text;
	default:
		return *(const int *)place < 0 || asprintf(&text, "nbd%d", *(const int *)place) < 0 ? NULL : text;
	}
}

static bool may_be_in_name(char letter)
{
	return (letter >= '0' && letter <= '9') || ((letter | 32) >= 'a' && (letter | 32) <= 'z') || (letter && strchr("._-", letter));
}

bool settings_is_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > SETTINGS_MOST_NAME || *name == '.' || *name == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!may_be_in_name(name[i]))
			return false;
	/* It couldn't be told from a device's. */
	return device_index(name) < 0;
}

/* The export's name, or else the host's, with _ for what a name can't have. */
static int find_name(struct settings *settings, struct problem *problem)
{
	const struct uri *uri = &settings->uri;
	const char *from = *uri->export ? uri->export : uri->host ? uri->host : "default";
	char *name = strndup(from, SETTINGS_MOST_NAME);

	if (!name)
		return problem_memory(problem);
	for (char *at = name; *at; at++)
		if (!may_be_in_name(*at))
			*at = '_';
	if (*name == '.' || *name == '-')
		*name = '_';
	settings->name = name;
	if (settings_is_name(name))
		return 0;
	return problem_set(problem, STATUS_USAGE, "%s: a device can't have this name; choose another one: --name NAME", name);
}

static int give(char **to, char **from, const char *key, struct problem *problem)
{
	if (!*from)
		return 0;
	if (*to)
		return problem_set(problem, STATUS_USAGE, "%s: the URI has that, too", key);
	*to = strdup(*from);
	return *to ? 0 : problem_memory(problem);
}

static int complete_tls(struct settings *settings, struct problem *problem)
{
	struct uri *uri = &settings->uri;

	if (!uri->tls && (settings->certificates || settings->psk || settings->hostname || settings->trusts_any))
		return problem_set(problem, STATUS_USAGE, "%s: without TLS; write nbds%s:// for that", settings->uri_text,
				   uri->socket ? "+unix" : "");
	if (give(&uri->certificates, &settings->certificates, "tls-certificates", problem) < 0 ||
	    give(&uri->psk, &settings->psk, "tls-psk", problem) < 0 ||
	    give(&uri->hostname, &settings->hostname, "tls-hostname", problem) < 0)
		return -1;
	uri->trusts_any |= settings->trusts_any;
	return 0;
}

int settings_complete(struct settings *settings, struct problem *problem)
{
	if (!settings->uri_text)
		return problem_set(problem, STATUS_USAGE, "a URI is missing, for example nbd://server/export");
	if (uri_parse(&settings->uri, settings->uri_text, problem) < 0 || complete_tls(settings, problem) < 0)
		return -1;
	if (!settings->name)
		return find_name(settings, problem);
	if (!settings_is_name(settings->name))
		return problem_set(problem, STATUS_USAGE, "%s: a name has up to %d letters, digits and . _ -, begins with none of . and -, and is "
				   "not a device's", settings->name, SETTINGS_MOST_NAME);
	return 0;
}
