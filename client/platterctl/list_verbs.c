/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that print what there is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/table.h"
#include "client/platterctl/verb.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void add_size(struct table *table, const json_t *object)
{
	const json_t *size = json_object_get(object, "size");

	if (json_is_integer(size))
		table_add_size(table, (uint64_t)json_integer_value(size));
	else
		table_add(table, "?");
}

/* Calls METHOD, which gives a list called NAME: prints it as JSON, or as a table of HEADINGS, a row by each ADD. */
static int list(int argc, char **argv, const char *method, const char *name, const char *headings,
		void (*add)(struct table *table, const json_t *object))
{
	json_t *result = NULL;
	const json_t *object;
	struct table *table;
	size_t i;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method(method, NULL, &result);
	if (status != CALL_OK)
		return status;
	table = table_new(headings);
	json_array_foreach(json_object_get(result, name), i, object)
		add(table, object);
	verb_print(result, table);
	return CALL_OK;
}

/* What is drawn of the tree in front of a disk; where it stands on more than a hundred others it isn't drawn any deeper. */
#define TREE_SIZE 256

static void add_disk(struct table *table, const json_t *disk, const char *tree, const char *branch)
{
	table_add(table, "%s%s%s", tree, branch, text_of(disk, "name"));
	table_add(table, "%3" PRIi64 ":%-3" PRIi64, (int64_t)number_of(disk, "major"), (int64_t)number_of(disk, "minor"));
	add_size(table, disk);
	table_add(table, "%d", json_is_true(json_object_get(disk, "read_only")) ? 1 : 0);
	table_add(table, "%s", text_of(disk, "type"));
	table_add(table, "%" PRIi64, (int64_t)number_of(disk, "users"));
}

static bool is_child(const json_t *disk, const char *parent)
{
	const json_t *parents = json_object_get(disk, "parents");
	const json_t *name;
	size_t i;

	if (!parent)
		return json_array_size(parents) == 0;
	json_array_foreach(parents, i, name)
		if (strcmp(json_string_value(name), parent) == 0)
			return true;
	return false;
}

static size_t count_children(const json_t *disks, const char *parent)
{
	const json_t *disk;
	size_t count = 0;
	size_t i;

	json_array_foreach(disks, i, disk)
		count += is_child(disk, parent);
	return count;
}

/*
 * The disks that stand on PARENT, partitions and stacked ones, NULL for those on nothing, each followed by what stands
 * on it.  TREE is drawn in front of them, as lsblk(8) does.
 */
static void add_disks(struct table *table, const json_t *disks, const char *parent, const char *tree)
{
	size_t left = count_children(disks, parent);
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk) {
		char below[TREE_SIZE] = "";
		bool last;

		if (!is_child(disk, parent))
			continue;
		last = --left == 0;
		if (parent)
			snprintf(below, sizeof(below), "%s%s", tree, last ? "  " : "| ");
		add_disk(table, disk, tree, !parent ? "" : last ? "`-" : "|-");
		add_disks(table, disks, text_of(disk, "name"), below);
	}
}

static int lsblk(int argc, char **argv)
{
	json_t *result = NULL;
	struct table *table;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("disks", NULL, &result);
	if (status != CALL_OK)
		return status;
	table = table_new("NAME MAJ:MIN >SIZE >RO TYPE >CLIENTS");
	add_disks(table, json_object_get(result, "disks"), NULL, "");
	verb_print(result, table);
	return CALL_OK;
}

static void add_export(struct table *table, const json_t *export)
{
	table_add(table, "%s", text_of(export, "name"));
	table_add(table, "%s", text_of(export, "disk"));
	add_size(table, export);
	table_add(table, "%d", json_is_true(json_object_get(export, "read_only")) ? 1 : 0);
	table_add(table, "%" PRIi64, (int64_t)number_of(export, "clients"));
	table_add(table, "%s", text_of(export, "description"));
}

static int exports(int argc, char **argv)
{
	return list(argc, argv, "exports", "exports", "NAME DISK >SIZE >RO >CLIENTS DESCRIPTION", add_export);
}

static const json_t *op_of(const json_t *client, const char *op)
{
	return json_object_get(json_object_get(client, "ops"), op);
}

/* Of all its ops. */
static json_int_t sum_of(const json_t *client, const char *counter)
{
	json_t *op;
	const char *name;
	json_int_t sum = 0;

	json_object_foreach(json_object_get(client, "ops"), name, op)
		sum += number_of(op, counter);
	return sum;
}

static void add_client(struct table *table, const json_t *client)
{
	const json_t *tls = json_object_get(client, "tls");

	table_add(table, "%s", text_of(client, "peer"));
	table_add(table, "%s", text_of(client, "export"));
	table_add(table, "%s", text_of(client, "state"));
	table_add(table, "%" PRIi64, (int64_t)number_of(client, "reactor"));
	table_add(table, "%" PRIi64, (int64_t)number_of(client, "seconds"));
	table_add(table, "%" PRIi64, (int64_t)number_of(client, "in_flight"));
	table_add(table, "%" PRIi64, (int64_t)sum_of(client, "requests"));
	table_add_size(table, (uint64_t)number_of(op_of(client, "read"), "bytes"));
	table_add_size(table, (uint64_t)number_of(op_of(client, "write"), "bytes"));
	table_add(table, "%s", text_of(tls, "version"));
	table_add(table, "%s", text_of(tls, "cipher"));
	table_add(table, "%s", !json_is_object(tls) ? "-" : json_is_true(json_object_get(tls, "kernel")) ? "yes" : "no");
	table_add(table, "%s", text_of(tls, "identity"));
}

static int clients(int argc, char **argv)
{
	return list(argc, argv, "clients", "clients",
		    "PEER EXPORT STATE >REACTOR >SECONDS >IN-FLIGHT >REQUESTS >READ >WRITTEN TLS CIPHER KTLS IDENTITY", add_client);
}

/* As /proc/devices has them. */
static int devices(int argc, char **argv)
{
	json_t *result = NULL;
	const json_t *device;
	size_t i;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("devices", NULL, &result);
	if (status != CALL_OK)
		return status;
	if (!verb_json)
		puts("Block devices:");
	json_array_foreach(json_object_get(result, "devices"), i, device)
		if (!verb_json)
			printf("%3" PRIi64 " %s\n", (int64_t)number_of(device, "major"), text_of(device, "name"));
	verb_print(result, NULL);
	return CALL_OK;
}

/* Of the server, and where it looks for modules. */
static int version(int argc, char **argv)
{
	json_t *result = NULL;
	int status = verb_no_arguments(argc, argv);

	if (status == CALL_OK)
		status = call_method("version", NULL, &result);
	if (status == CALL_OK && !verb_json)
		printf("version:        %s\npid:            %" PRIi64 "\nmodules:        %s\nmodule-conf:    %s\n",
		       text_of(result, "version"), (int64_t)number_of(result, "pid"), text_of(result, "modules"),
		       text_of(result, "module_conf"));
	verb_print(result, NULL);
	return status;
}

const struct verb list_verbs[] = {
	{ "lsblk", "", "the disks", lsblk },
	{ "devices", "", "the device table, as in /proc/devices", devices },
	{ "exports", "", "the names under which clients find disks", exports },
	{ "clients", "", "the connections", clients },
	{ "version", "", "the server's version, process and directories", version },
	{ .name = NULL },
};
