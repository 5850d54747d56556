/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sections of a configuration say of listeners, exports, modules and access. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/escape.h"
#include "server/block/access.h"
#include "server/block/error.h"
#include "server/config.h"
#include "server/definition.h"
#include "server/net/listen.h"
#include "server/options.h"
#include "server/spec.h"

static const char blanks[] = " \t";

/* Complains of keys that aren't among KNOWN, which ends in NULL. */
static bool has_only(struct config *config, const struct config_section *section, const char *const *known)
{
	bool right = true;
	struct list_head *node;

	list_for_each(node, &section->settings) {
		const struct config_setting *setting = container_of(node, struct config_setting, link);
		char why[128] = "there is no such key; there are:";
		bool found = false;

		for (size_t i = 0; known[i]; i++) {
			found |= strcmp(known[i], setting->key) == 0;
			strncat(why, i ? ", " : " ", sizeof(why) - strlen(why) - 1);
			strncat(why, known[i], sizeof(why) - strlen(why) - 1);
		}
		if (!found)
			config_wrong(config, section, setting, why);
		right &= found;
	}
	return right;
}

/* The mode of TLS of a listener that says TEXT. */
static int check_address(const char *text, const struct options *options, struct platter_error *error)
{
	enum nbd_tls tls = NBD_TLS_OFF;
	int result = options->tls ? listen_parse_tls(&tls, options->tls, error) : 0;

	if (result == 0)
		result = listen_check(text, &tls, error);
	if (result == 0 && tls != NBD_TLS_OFF && !options->tls_certificates && !options->tls_psk)
		result = platter_fail(error, EINVAL, "TLS needs certificates or psk in [tls]");
	return result;
}

/* As --listen has it; NULL: no memory. */
static char *make_address(const struct config_setting *address, const struct config_setting *mode,
			  const struct config_setting *tls)
{
	char *text;

	if (asprintf(&text, "%s%s%s%s%s", address->value, mode ? ",mode=" : "", mode ? mode->value : "", tls ? ",tls=" : "",
		     tls ? tls->value : "") < 0)
		return NULL;
	return text;
}

static bool has_listener(const struct config *config, const char *address)
{
	struct list_head *node;

	list_for_each(node, &config->listeners)
		if (strcmp(container_of(node, struct config_listener, link)->address, address) == 0)
			return true;
	return false;
}

static void take_listener(struct config *config, const struct config_section *section, const struct options *options)
{
	const struct config_setting *address = config_text_setting(section, "address");
	const struct config_setting *mode = config_text_setting(section, "mode");
	const struct config_setting *tls = config_text_setting(section, "tls");
	struct config_listener *listener;
	struct platter_error error = { "" };

	if (!has_only(config, section, (const char *const[]){ "address", "mode", "tls", NULL }))
		return;
	if (!address) {
		config_text_problem(&config->text, &section->place,
				    "[listen %s]: where? write address = unix:PATH or tcp:HOST[:PORT]", section->name);
		return;
	}
	listener = calloc(1, sizeof(*listener));
	if (listener)
		listener->address = make_address(address, mode, tls);
	if (!listener || !listener->address) {
		free(listener);
		config_wrong(config, section, address, "no memory");
		return;
	}
	if (has_listener(config, listener->address))
		config_wrong(config, section, address, "another section says this, too");
	list_add_tail(&listener->link, &config->listeners);
	if (check_address(listener->address, options, &error) < 0)
		config_wrong(config, section, address, error.text);
}

/* Those keys of an export that only the configuration has. */
static bool is_own(const char *key)
{
	return strcmp(key, "source") == 0 || strcmp(key, "on-removal") == 0;
}

/* SOURCE with one key at a time, so that a line can be told. */
static void check_key(struct config *config, const struct config_section *section, const struct config_setting *source,
		      const struct config_setting *setting, bool has_tls)
{
	struct definition *definition = definition_new(section->name, source->value);
	struct platter_error error = { "no memory" };
	char *text = NULL;
	struct spec spec;

	if (definition && (setting == source || definition_add_key(definition, setting->key, setting->value) == 0))
		text = definition_spec(definition);
	definition_free(definition);
	if (!text || spec_check(&spec, text, &error) < 0) {
		config_wrong(config, section, setting, error.text);
		free(text);
		return;
	}
	if (spec.tls && !has_tls)
		config_wrong(config, section, setting, "nobody could use it: there are neither certificates nor psk in [tls]");
	spec_free(&spec);
	free(text);
}

static void check_source(struct config *config, const struct config_section *section, const struct config_setting *source)
{
	char *copy = strdup(source->value);

	if (copy && *escape_find(copy, ","))
		config_wrong(config, section, source, "a key has a line of its own; write \\, for a comma");
	else
		check_key(config, section, source, source, true);
	free(copy);
}

/* The rules for those that have none of their own. */
static bool add_default_rules(struct config *config, struct definition *definition)
{
	const struct config_section *section = config_text_section(&config->text, "access");
	struct list_head *node;

	if (!section || definition_has_key(definition, "allow"))
		return true;
	list_for_each(node, &section->settings)
		if (definition_add_key(definition, "allow", container_of(node, struct config_setting, link)->value) < 0)
			return false;
	return true;
}

static struct definition *make_definition(struct config *config, const struct config_section *section, const char *source)
{
	struct definition *definition = definition_new(section->name, source);
	const struct config_setting *removal = config_text_setting(section, "on-removal");
	bool complete = definition;
	struct list_head *node;

	list_for_each(node, &section->settings) {
		const struct config_setting *setting = container_of(node, struct config_setting, link);

		if (complete && !is_own(setting->key))
			complete = definition_add_key(definition, setting->key, setting->value) == 0;
	}
	if (complete && add_default_rules(config, definition)) {
		definition->drains = removal && strcmp(removal->value, "drain") == 0;
		return definition;
	}
	definition_free(definition);
	return NULL;
}

static void take_export(struct config *config, const struct config_section *section, const struct options *options)
{
	const struct config_setting *source = config_text_setting(section, "source");
	const struct config_setting *removal = config_text_setting(section, "on-removal");
	struct definition *definition;
	struct list_head *node;
	unsigned before;
	bool right;

	if (!source) {
		config_text_problem(&config->text, &section->place,
				    "[export %s]: of what? write source = PATH, DRIVER[:ARG] or disk:NAME", section->name);
		return;
	}
	if (removal && strcmp(removal->value, "drain") != 0 && strcmp(removal->value, "keep") != 0)
		config_wrong(config, section, removal, "write keep or drain");
	before = config->text.count;
	check_source(config, section, source);
	right = config->text.count == before;
	list_for_each(node, &section->settings) {
		const struct config_setting *setting = container_of(node, struct config_setting, link);

		/* Without a source that can be had no key makes sense. */
		if (right && !is_own(setting->key))
			check_key(config, section, source, setting, options->tls_certificates || options->tls_psk);
	}
	definition = make_definition(config, section, source->value);
	if (definition)
		list_add_tail(&definition->link, &config->exports);
	else
		config_text_problem(&config->text, &section->place, "[export %s]: no memory", section->name);
}

static void check_rules(struct config *config, const struct config_section *section)
{
	struct list_head *node;

	if (!has_only(config, section, (const char *const[]){ "allow", NULL }))
		return;
	list_for_each(node, &section->settings) {
		const struct config_setting *setting = container_of(node, struct config_setting, link);
		struct platter_error error = { "" };
		struct access *access = NULL;

		if (access_add(&access, setting->value, &error) < 0)
			config_wrong(config, section, setting, error.text);
		access_put(access);
	}
}

/* What makes no sense without files. */
static void check_tls(struct config *config, const struct options *options)
{
	const struct config_section *section = config_text_section(&config->text, "tls");
	const struct config_setting *mode = config_text_setting(section, "mode");
	const struct config_setting *verify = config_text_setting(section, "verify-peer");

	if (mode && options->tls && strcmp(options->tls, "off") != 0 && !options->tls_certificates && !options->tls_psk)
		config_wrong(config, section, mode, "TLS needs certificates or psk");
	if (verify && options->tls_verify_peer && !options->tls_certificates)
		config_wrong(config, section, verify, "certificates are missing");
}

int config_check(struct config *config, const struct options *options)
{
	struct list_head *node;

	check_tls(config, options);
	list_for_each(node, &config->text.sections) {
		struct config_section *section = container_of(node, struct config_section, link);

		/* That was complained of. */
		if (config_is_named(section) != (section->name != NULL))
			continue;
		if (strcmp(section->kind, "listen") == 0)
			take_listener(config, section, options);
		else if (strcmp(section->kind, "export") == 0)
			take_export(config, section, options);
		else if (strcmp(section->kind, "access") == 0)
			check_rules(config, section);
		else if (strcmp(section->kind, "modules") == 0)
			has_only(config, section, (const char *const[]){ "load", NULL });
	}
	return config->text.count ? -EINVAL : 0;
}

void config_each_module(const struct config *config, void (*each)(const char *name, void *argument), void *argument)
{
	const struct config_section *section = config_text_section(&config->text, "modules");
	struct list_head *node;

	if (!section)
		return;
	list_for_each(node, &section->settings) {
		char *words = strdup(container_of(node, struct config_setting, link)->value);
		char *rest = words, *word;

		while (rest && (word = strsep(&rest, blanks)))
			if (*word)
				each(word, argument);
		free(words);
	}
}
