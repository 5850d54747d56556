/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods that list what there is; anybody who may connect may call them. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/clock.h"
#include "server/block/account.h"
#include "server/block/device.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/control/stats.h"
#include "server/module/modprobe.h"
#include "server/net/conn.h"
#include "server/reactor.h"
#include "server/reload.h"

/* {NAME: LIST} as the result; takes LIST. */
static int give_list(struct call *call, const char *name, json_t *list)
{
	call->result = json_pack("{s:o}", name, list);
	return 0;
}

/* Where it is, for others who run elsewhere; as it was given, if it isn't there. */
static json_t *absolute(const char *directory)
{
	char *real = realpath(directory, NULL);
	json_t *text = json_text(real ? real : directory);

	free(real);
	return text;
}

static int list_version(struct call *call)
{
	char *configuration = reload_path();

	call->result = json_pack("{s:s, s:I, s:b, s:o, s:o, s:o?}", "version", PACKAGE_VERSION, "pid", (json_int_t)getpid(),
				 "may_change", (int)call->peer->may_change, "modules", absolute(modprobe_modules()),
				 "module_conf", absolute(modprobe_configuration()),
				 "configuration", configuration ? json_text(configuration) : NULL);
	free(configuration);
	return 0;
}

static int list_devices(struct call *call)
{
	json_t *list = json_array();

	registry_lock();
	for (unsigned major = 1; major < DEVICE_MAJORS; major++)
		if (device_name(major))
			json_array_append_new(list, json_pack("{s:i, s:s}", "major", (int)major, "name", device_name(major)));
	registry_unlock();
	return give_list(call, "devices", list);
}

/* NULL where UUID is empty: null for those who read it. */
static const char *uuid_of(const char *uuid)
{
	return *uuid ? uuid : NULL;
}

/* null: nobody knows before it was opened. */
static json_t *size_of(struct disk *disk)
{
	uint64_t bytes = disk_capacity(disk);

	return bytes ? json_integer((json_int_t)bytes) : json_null();
}

/* With the registry's lock held: the names of the disks that DISK stands on just now. */
static json_t *parents_of(const struct disk *disk)
{
	json_t *names = json_array();
	struct list_head *node;

	if (disk->whole)
		json_array_append_new(names, json_string(disk->whole->name));
	list_for_each(node, disk_list()) {
		const struct disk *other = container_of(node, struct disk, link);

		if (other->claimed_by == disk)
			json_array_append_new(names, json_string(other->name));
	}
	return names;
}

static int list_disks(struct call *call)
{
	json_t *list = json_array();
	struct list_head *node;

	registry_lock();
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->state == DISK_ADDING)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:o, s:b, s:s, s:o, s:s, s:s, s:s?, s:i}", "name", disk->name,
						      "major", (int)disk->major, "minor", (int)disk->minor,
						      "size", size_of(disk), "read_only", (int)disk->read_only,
						      "type", disk->whole ? "part" : "disk",
						      "parents", parents_of(disk),
						      "driver", disk_whole(disk)->driver->name,
						      "description", disk->description,
						      "uuid", uuid_of(disk->identity.uuid), "users", (int)disk_users(disk)));
	}
	registry_unlock();
	return give_list(call, "disks", list);
}

static int list_commands(struct call *call)
{
	const struct platter_command *command;
	json_t *list = json_array();
	struct disk *disk;
	const char *name;
	int result = method_params(call, "{s:s!}", "disk", &name);

	disk = result == 0 ? disk_find(name) : NULL;
	if (!disk) {
		json_decref(list);
		return result < 0 ? result : platter_fail(&call->error, ENOENT, "there is no disk named \"%s\"", name);
	}
	for (command = disk->driver->ops->commands; command && command->name; command++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", command->name, "arguments", command->arguments,
						      "help", command->help));
	disk_put(disk);
	return give_list(call, "commands", list);
}

static int list_exports(struct call *call)
{
	json_t *list = json_array();
	struct list_head *node;

	registry_lock();
	list_for_each(node, export_list()) {
		struct export *export = container_of(node, struct export, link);

		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:b, s:b, s:b, s:s, s:s?, s:i}", "name", export->name,
						      "disk", export->disk->name, "size", size_of(export->disk),
						      "read_only", (int)(export->read_only || export->disk->read_only),
						      "tls", (int)export->tls, "restricted", export->access != NULL,
						      "description", export_description(export),
						      "uuid", uuid_of(export_uuid(export)), "clients", (int)export->users));
	}
	registry_unlock();
	return give_list(call, "exports", list);
}

/* What a reactor says of one of its connections: to make JSON of it there would take too long. */
struct client {
	struct list_head link;
	char peer[sizeof(((struct conn *)NULL)->peer)];
	char *export; /* NULL: none */
	enum nbd_state state;
	unsigned reactor, in_flight;
	uint64_t seconds;
	bool secure, kernel; /* TLS; the kernel does it */
	const char *version, *cipher; /* OpenSSL's, constant */
	char *identity;
	struct account account;
};

static void free_client(struct client *client)
{
	if (client) {
		free(client->export);
		free(client->identity);
	}
	free(client);
}

/* NULL when there is no memory. */
static struct client *look_at(struct conn *conn)
{
	struct nbd_session *session = &conn->session;
	struct client *client = malloc(sizeof(*client));

	if (!client)
		return NULL;
	account_settle(&session->account);
	*client = (struct client){
		.export = session->export ? strdup(session->export->name) : NULL,
		.state = session->state,
		.reactor = conn->reactor->index,
		.in_flight = session->in_flight,
		.seconds = (clock_ns() - conn->since_ns) / 1000000000u,
		.secure = session->secure,
		.kernel = session->secure && tls_in_kernel(conn->tls),
		.version = session->secure ? tls_version(conn->tls) : NULL,
		.cipher = session->secure ? tls_cipher(conn->tls) : NULL,
		.identity = session->secure ? strdup(tls_identity(conn->tls)) : NULL,
		.account = session->account,
	};
	memcpy(client->peer, conn->peer, sizeof(client->peer));
	if (client->export || !session->export)
		return client;
	free_client(client);
	return NULL;
}

struct listing {
	uint64_t number;
	struct list_head clients;
	int result;
};

/*
 * On each reactor, the first one first: every connection begins there.  One that has left it has announced itself to where it
 * goes before we come there, so that none is missed; one that leaves it when we have seen it is met again.
 */
static void append_clients(struct reactor *reactor, void *argument)
{
	struct listing *listing = argument;
	struct list_head *node;

	list_for_each(node, &reactor->connections) {
		struct conn *conn = container_of(node, struct conn, link);
		struct client *client;

		if (conn->listed == listing->number)
			continue;
		conn->listed = listing->number;
		client = look_at(conn);
		if (client)
			list_add_tail(&client->link, &listing->clients);
		else
			listing->result = -ENOMEM;
	}
}

static json_t *tls_json(const struct client *client)
{
	return client->secure ? json_pack("{s:s, s:s, s:s?, s:b}", "version", client->version, "cipher", client->cipher,
					  "identity", client->identity, "kernel", (int)client->kernel) :
				json_null();
}

static json_t *client_json(const struct client *client)
{
	return json_pack("{s:s, s:s?, s:s, s:i, s:I, s:i, s:o, s:o}", "peer", client->peer, "export", client->export,
			 "state", client->state == NBD_STATE_TRANSMISSION ? "transmission" :
				  client->state == NBD_STATE_CLOSING ? "closing" : "handshake",
			 "reactor", (int)client->reactor, "seconds", (json_int_t)client->seconds,
			 "in_flight", (int)client->in_flight, "tls", tls_json(client), "ops", stats_ops(&client->account, NULL));
}

static int list_clients(struct call *call)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t number;
	struct listing listing = { .result = 0 };
	json_t *list = json_array();
	struct list_head *node;

	list_init(&listing.clients);
	pthread_mutex_lock(&one_at_a_time);
	listing.number = ++number;
	reactors_call(append_clients, &listing);
	pthread_mutex_unlock(&one_at_a_time);
	while ((node = list_pop(&listing.clients))) {
		struct client *client = container_of(node, struct client, link);

		json_array_append_new(list, client_json(client));
		free_client(client);
	}
	give_list(call, "clients", list);
	return listing.result;
}

const struct method list_methods[] = {
	{ .name = "version", .plain = true, .run = list_version },
	{ .name = "devices", .plain = true, .run = list_devices },
	{ .name = "disks", .plain = true, .run = list_disks },
	{ .name = "disk.commands", .run = list_commands },
	{ .name = "exports", .plain = true, .run = list_exports },
	{ .name = "clients", .plain = true, .run = list_clients },
	{ .name = NULL },
};
