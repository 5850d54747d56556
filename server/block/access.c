/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/access.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/list.h"

struct rule {
	struct list_head link;
	enum { RULE_CERTIFICATE, RULE_KEY, RULE_USER, RULE_GROUP, RULE_NETWORK } kind;
	char *name;              /* CERTIFICATE, KEY */
	unsigned id;             /* USER, GROUP */
	struct in6_addr address; /* NETWORK... */
	unsigned bits;           /* ...so many of it count */
};

struct access {
	atomic_uint references;
	struct list_head rules;
};

/* Names may be numbers. */
static bool parse_number(const char *text, unsigned *number)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	*number = (unsigned)value;
	return *end == '\0' && errno == 0 && value < UINT32_MAX;
}

static bool parse_user(struct rule *rule, const char *text)
{
	const struct passwd *user;

	if (parse_number(text, &rule->id))
		return true;
	user = getpwnam(text);
	if (user)
		rule->id = user->pw_uid;
	return user;
}

static bool parse_group(struct rule *rule, const char *text)
{
	const struct group *group;

	if (parse_number(text, &rule->id))
		return true;
	group = getgrnam(text);
	if (group)
		rule->id = group->gr_gid;
	return group;
}

void access_map_ipv4(struct in6_addr *address, const struct in_addr *from)
{
	*address = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(&address->s6_addr[12], from, sizeof(*from));
}

/* Whether all bits of ADDRESS from BITS on are zero: 192.0.2.1/24 is probably meant otherwise. */
static bool is_network(const struct in6_addr *address, unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if (address->s6_addr[i / 8] & 0x80 >> i % 8)
			return false;
	return true;
}

static bool parse_network(struct rule *rule, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct in_addr ipv4;
	unsigned most = 128;

	if (length >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)length, text);
	if (inet_pton(AF_INET, host, &ipv4) == 1) {
		access_map_ipv4(&rule->address, &ipv4);
		most = 32;
	} else if (inet_pton(AF_INET6, host, &rule->address) != 1) {
		return false;
	}
	rule->bits = most;
	if (slash && (!parse_number(slash + 1, &rule->bits) || rule->bits > most))
		return false;
	rule->bits += 128 - most;
	return is_network(&rule->address, rule->bits);
}

static bool parse_name(struct rule *rule, const char *text)
{
	rule->name = strdup(text);
	return rule->name && *text;
}

static const struct {
	const char *prefix;
	int kind;
	bool (*parse)(struct rule *rule, const char *text);
	const char *expected;
} kinds[] = {
	{ "cert:", RULE_CERTIFICATE, parse_name, "a name is missing" },
	{ "psk:", RULE_KEY, parse_name, "an identity is missing" },
	{ "uid:", RULE_USER, parse_user, "there is no such user" },
	{ "gid:", RULE_GROUP, parse_group, "there is no such group" },
	{ "net:", RULE_NETWORK, parse_network, "not an address, or a network whose other bits are zero, as 192.0.2.0/24" },
};

static void rule_free(struct rule *rule)
{
	if (rule)
		free(rule->name);
	free(rule);
}

static int add_rule(struct access *access, const char *text, struct platter_error *error)
{
	struct rule *rule = calloc(1, sizeof(*rule));

	if (!rule)
		return platter_fail(error, ENOMEM, "no memory");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, length) != 0)
			continue;
		rule->kind = kinds[i].kind;
		if (kinds[i].parse(rule, text + length)) {
			list_add_tail(&rule->link, &access->rules);
			return 0;
		}
		rule_free(rule);
		return platter_fail(error, EINVAL, "allow=%s: %s", text, kinds[i].expected);
	}
	rule_free(rule);
	return platter_fail(error, EINVAL, "allow=%s: write cert:NAME, psk:IDENTITY, uid:USER, gid:GROUP, net:ADDRESS/BITS or @FILE", text);
}

/* A rule in each line, but for empty ones and those that begin with #.  A list that can't be read allows nobody. */
static int add_file(struct access *access, const char *path, struct platter_error *error)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int result = 0;

	if (!file)
		return platter_fail(error, errno, "allow=@%s: %s", path, strerror(errno));
	while (result == 0 && (length = getline(&line, &size, file)) >= 0) {
		while (length && isspace((unsigned char)line[length - 1]))
			line[--length] = '\0';
		if (length && line[0] != '#')
			result = add_rule(access, line, error);
	}
	if (result == 0 && ferror(file))
		result = platter_fail(error, EIO, "allow=@%s: it can't be read", path);
	free(line);
	fclose(file);
	return result;
}

int access_add(struct access **access, const char *rule, struct platter_error *error)
{
	if (!*access) {
		*access = calloc(1, sizeof(**access));
		if (!*access)
			return platter_fail(error, ENOMEM, "no memory");
		atomic_init(&(*access)->references, 1);
		list_init(&(*access)->rules);
	}
	return *rule == '@' ? add_file(*access, rule + 1, error) : add_rule(*access, rule, error);
}

struct access *access_get(struct access *access)
{
	if (access)
		atomic_fetch_add(&access->references, 1);
	return access;
}

void access_put(struct access *access)
{
	struct list_head *node;

	if (!access || atomic_fetch_sub(&access->references, 1) != 1)
		return;
	while ((node = list_pop(&access->rules)))
		rule_free(container_of(node, struct rule, link));
	free(access);
}

static bool has_name(const char *names, const char *name)
{
	for (; names && *names; names += strlen(names) + 1)
		if (strcmp(names, name) == 0)
			return true;
	return false;
}

static bool has_group(const struct access_client *client, unsigned group)
{
	for (unsigned i = 0; i < client->group_count; i++)
		if (client->groups[i] == group)
			return true;
	return false;
}

static bool is_in(const struct in6_addr *address, const struct rule *rule)
{
	unsigned bytes = rule->bits / 8, bits = rule->bits % 8;

	return memcmp(address, &rule->address, bytes) == 0 &&
	       (bits == 0 || (address->s6_addr[bytes] ^ rule->address.s6_addr[bytes]) >> (8 - bits) == 0);
}

static bool meets(const struct access_client *client, const struct rule *rule)
{
	switch (rule->kind) {
	case RULE_CERTIFICATE:
		return has_name(client->names, rule->name);
	case RULE_KEY:
		return client->key && strcmp(client->key, rule->name) == 0;
	case RULE_USER:
		return client->local && client->uid == rule->id;
	case RULE_GROUP:
		return client->local && has_group(client, rule->id);
	case RULE_NETWORK:
		return client->remote && is_in(&client->address, rule);
	}
	return false;
}

bool access_allows(const struct access *access, const struct access_client *client)
{
	struct list_head *node;

	if (!access)
		return true;
	list_for_each(node, &access->rules)
		if (meets(client, container_of(node, struct rule, link)))
			return true;
	return false;
}
