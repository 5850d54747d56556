/* SPDX-License-Identifier: BSD-2-Clause */
/* list, status: what is attached, and how it is doing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "client/platter/inquiry.h"
#include "client/platter/state.h"
#include "client/platter/verb.h"
#include "client/table.h"

/* What the supervisor of STATE's device says of it; NULL: there is none. */
static json_t *ask_supervisor(const struct state *state)
{
	struct problem ignored;
	json_t *answer = NULL;
	int fd = inquiry_open(state->index);

	if (fd < 0)
		return NULL;
	answer = inquiry_ask(fd, "status", &ignored);
	close(fd);
	return answer;
}

/* In one word: whether requests are served. */
static const char *condition(json_t *links, size_t all)
{
	size_t alive = 0, i;
	json_t *link;

	if (!links)
		return "unsupervised";
	json_array_foreach(links, i, link) {
		const char *state = json_string_value(json_object_get(link, "state"));

		alive += state && strcmp(state, "dead") != 0;
	}
	return alive == all ? "alive" : alive ? "degraded" : "dead";
}

static json_t *describe(const struct state *state)
{
	char path[DEVICE_PATH];
	json_t *said = ask_supervisor(state);
	json_t *links = json_object_get(said, "links");
	json_t *settings = json_object();
	json_t *all;

	for (const char *const *key = settings_keys; *key; key++) {
		char *value = settings_get(&state->settings, *key);

		if (value)
			json_object_set_new(settings, *key, json_string(value));
		free(value);
	}
	all = json_pack("{s:s, s:s, s:s, s:I, s:b, s:s, s:s, s:i, s:i, s:o, s:O*}", "name", state->settings.name, "device",
			device_path(path, state->index), "uri", state->settings.uri_text, "size", (json_int_t)device_size(state->index),
			"read-only", (int)!!(state->flags & NBD_FLAG_READ_ONLY), "uuid", state->identity, "state",
			condition(links, state->links), "connections", (int)state->links, "block-size", (int)state->minimum, "settings", settings,
			"links", links);
	json_decref(said);
	return all;
}

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : "-";
}

static enum status worst_of(json_t *devices)
{
	enum status worst = STATUS_OK;
	size_t i;
	json_t *device;

	json_array_foreach(devices, i, device)
		if (strcmp(text_of(device, "state"), "alive") != 0)
			worst = STATUS_DEGRADED;
	return worst;
}

static json_t *describe_all(void)
{
	json_t *devices = json_array();
	struct state *states;
	unsigned count = state_list(&states);

	for (unsigned i = 0; i < count; i++) {
		json_array_append_new(devices, describe(&states[i]));
		state_free(&states[i]);
	}
	free(states);
	return devices;
}

static void add_row(struct table *table, json_t *device)
{
	table_add(table, "%s", text_of(device, "name"));
	table_add(table, "%s", text_of(device, "device"));
	table_add_size(table, (uint64_t)json_integer_value(json_object_get(device, "size")));
	table_add(table, "%s", json_is_true(json_object_get(device, "read-only")) ? "yes" : "no");
	table_add(table, "%lld", (long long)json_integer_value(json_object_get(device, "connections")));
	table_add(table, "%s", text_of(device, "state"));
	table_add(table, "%s", text_of(device, "uri"));
}

static enum status list(int argc, char **argv)
{
	json_t *devices, *device;
	struct table *table;
	size_t i;

	if (argc != 1)
		return verb_usage("list: %s: not expected", argv[1]);
	devices = describe_all();
	if (verb_json)
		return verb_print(devices);
	table = table_new("NAME DEVICE >SIZE RO >LINKS STATE URI");
	json_array_foreach(devices, i, device)
		add_row(table, device);
	table_print(table);
	json_decref(devices);
	return STATUS_OK;
}

static void print_link(json_t *link)
{
	json_t *rtt = json_object_get(link, "rtt-us");

	printf("  connection %lld: %s, for %lld s, to %s", (long long)json_integer_value(json_object_get(link, "number")), text_of(link, "state"),
	       (long long)json_integer_value(json_object_get(link, "seconds")), text_of(link, "peer"));
	if (rtt)
		printf(", round trip %.3f ms", (double)json_integer_value(rtt) / 1000);
	if (strcmp(text_of(link, "tls"), "-") != 0)
		printf(", %s", text_of(link, "tls"));
	printf(", made anew %lld times\n", (long long)json_integer_value(json_object_get(link, "reconnects")));
	if (strcmp(text_of(link, "last-error"), "-") != 0)
		printf("    last: %s\n", text_of(link, "last-error"));
}

static void print_device(json_t *device)
{
	json_t *settings = json_object_get(device, "settings"), *link;
	size_t i;

	printf("%s: %s, %s\n", text_of(device, "name"), text_of(device, "device"), text_of(device, "state"));
	printf("  %s, %lld bytes, %s, blocks of %lld, uuid %s\n", text_of(device, "uri"),
	       (long long)json_integer_value(json_object_get(device, "size")),
	       json_is_true(json_object_get(device, "read-only")) ? "read-only" : "read and write",
	       (long long)json_integer_value(json_object_get(device, "block-size")), text_of(device, "uuid"));
	printf("  a request may take %s s; with no connection it waits %s s\n", text_of(settings, "timeout"),
	       text_of(settings, "dead-timeout"));
	if (strcmp(text_of(device, "uuid"), "-") == 0)
		printf("  the server tells no uuid: another disk in its place, as large, would not be noticed\n");
	if (!json_object_get(device, "links"))
		printf("  nobody keeps it alive; platter attach does: see platter(8)\n");
	json_array_foreach(json_object_get(device, "links"), i, link)
		print_link(link);
}

static enum status status_of(json_t *devices)
{
	enum status worst = worst_of(devices);
	json_t *device;
	size_t i;

	if (verb_json) {
		enum status printed = verb_print(devices);

		return printed == STATUS_OK ? worst : printed;
	}
	json_array_foreach(devices, i, device)
		print_device(device);
	json_decref(devices);
	return worst;
}

static enum status status(int argc, char **argv)
{
	struct problem problem;
	struct state state;
	json_t *devices;

	if (argc > 2)
		return verb_usage("status: %s: not expected", argv[2]);
	if (argc == 1)
		return status_of(describe_all());
	if (state_find(&state, argv[1], &problem) < 0)
		return verb_failed("status", &problem);
	devices = json_array();
	json_array_append_new(devices, describe(&state));
	state_free(&state);
	return status_of(devices);
}

const struct verb list_verbs[] = {
	{ "list", "", "what is attached", list },
	{ "status", "[DEVICE]", "how it is doing, connection by connection", status },
	{ NULL, NULL, NULL, NULL },
};
