/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/nbd/nbd.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <platter/module.h>

#include "plugins/nbd/connection.h"
#include "plugins/nbd/work.h"

#define SECOND_NS UINT64_C(1000000000)
#define USUAL_PATIENCE_S 60

static void free_disk(struct nbd_disk *disk)
{
	pthread_cond_destroy(&disk->ended);
	pthread_mutex_destroy(&disk->lock);
	free(disk->uri);
	free(disk);
}

static struct nbd_disk *new_disk(const char *name, const char *uri)
{
	struct nbd_disk *disk = calloc(1, sizeof(*disk));
	pthread_condattr_t clock;

	if (!disk)
		return NULL;
	disk->name = name;
	pthread_mutex_init(&disk->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&disk->ended, &clock);
	pthread_condattr_destroy(&clock);
	work_list_init(&disk->waiting);
	disk->uri = strdup(uri);
	if (disk->uri)
		return disk;
	free_disk(disk);
	return NULL;
}

static int nbd_disk_probe(struct platter_disk *platter, const struct platter_args *args, bool read_only,
			  struct platter_error *error)
{
	const char *uri = platter_args_string(args, "uri", "");
	uint64_t connections = platter_args_number(args, "connections", 1);
	uint64_t patience_s = platter_args_number(args, "timeout", USUAL_PATIENCE_S);
	struct nbd_disk *disk;

	(void)read_only;
	if (strncmp(uri, "nbd", 3) != 0)
		return platter_fail(error, EINVAL, "uri=%s: write the server's address as nbd:nbd://HOST/EXPORT", uri);
	if (connections < 1 || connections > MOST_CONNECTIONS)
		return platter_fail(error, EINVAL, "connections=%" PRIu64 ": write 1 to %d", connections, MOST_CONNECTIONS);
	if (patience_s > INT32_MAX)
		return platter_fail(error, EINVAL, "timeout=%" PRIu64 ": more seconds than make sense; 0 means for ever", patience_s);
	disk = new_disk(platter_disk_name(platter), uri);
	if (!disk || platter_disk_set_identity(platter, uri) < 0) {
		if (disk)
			free_disk(disk);
		return platter_fail(error, ENOMEM, "no memory");
	}
	disk->wanted = (unsigned)connections;
	disk->patience_ns = patience_s ? patience_s * SECOND_NS : UINT64_MAX;
	platter_disk_set_data(platter, disk);
	return 0;
}

static void nbd_disk_remove(struct platter_disk *platter)
{
	free_disk(platter_disk_data(platter));
}

/* Ends COUNT threads, and whatever still waits. */
static void stop(struct nbd_disk *disk, unsigned count)
{
	disk->stopping = true;
	/* Each may take a moment to say goodbye: all do so at once. */
	for (unsigned i = 0; i < count; i++)
		connection_wake(&disk->connections[i]);
	for (unsigned i = 0; i < count; i++)
		connection_join(&disk->connections[i]);
	(void)work_fail_waiting(disk);
	disk->stopping = false;
	for (unsigned i = 0; i < disk->count; i++)
		connection_destroy(&disk->connections[i]);
	disk->count = 0;
	disk->lost_ns = 0;
	disk->given_up = false;
}

/* The first one is there; the others come by themselves. */
static int start(struct nbd_disk *disk)
{
	int result = 0;

	for (unsigned i = 1; i < disk->count && result == 0; i++)
		result = connection_init(&disk->connections[i], disk, i);
	if (result < 0) {
		stop(disk, 0);
		return result;
	}
	for (unsigned i = 0; i < disk->count; i++) {
		result = connection_start(&disk->connections[i]);
		if (result < 0) {
			stop(disk, i);
			return result;
		}
	}
	return 0;
}

static int nbd_disk_open(struct platter_disk *platter, struct platter_geometry *geometry, struct platter_error *error)
{
	struct nbd_disk *disk = platter_disk_data(platter);
	struct connection *first = &disk->connections[0];
	int result = connection_init(first, disk, 0);

	if (result == 0)
		result = connection_dial(first, &disk->upstream, DIAL_SECONDS);
	if (result < 0) {
		platter_fail(error, -result, "%s: %s", disk->uri, *first->reason ? first->reason : strerror(-result));
		connection_destroy(first);
		return result;
	}
	disk->changes = 0;
	disk->flushed = 0;
	disk->count = disk->upstream.several ? disk->wanted : 1;
	if (disk->count < disk->wanted)
		platter_log(PLATTER_LOG_NOTICE, "%s: the server doesn't keep several connections together: there is only one",
			    disk->name);
	upstream_geometry(&disk->upstream, geometry);
	/* Until its thread says that it is there. */
	disk->lost_ns = work_clock_ns();
	result = start(disk);
	return result < 0 ? platter_fail(error, -result, "no thread for a connection: %s", strerror(-result)) : 0;
}

/* Has the server make durable what was changed, if it isn't yet.  It waits for a connection, but not for ever. */
static int flush(struct nbd_disk *disk)
{
	uint64_t patience_s = (disk->patience_ns == UINT64_MAX ? USUAL_PATIENCE_S * SECOND_NS : disk->patience_ns) / SECOND_NS;
	struct timespec until;
	int waited = 0, result;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)patience_s;
	disk->release = (struct job){ .request = NULL };
	disk->released = false;
	work_submit(disk, &disk->release);
	pthread_mutex_lock(&disk->lock);
	while (!disk->released && waited == 0)
		waited = pthread_cond_timedwait(&disk->ended, &disk->lock, &until);
	result = disk->released ? disk->release_error : -ETIMEDOUT;
	pthread_mutex_unlock(&disk->lock);
	return result;
}

static int nbd_disk_release(struct platter_disk *platter, struct platter_error *error)
{
	struct nbd_disk *disk = platter_disk_data(platter);
	int result = 0;

	if ((disk->upstream.capabilities & PLATTER_DISK_FLUSH) && disk->changes != disk->flushed)
		result = flush(disk);
	stop(disk, disk->count);
	return result < 0 ? platter_fail(error, -result, "%s: its server was not asked to make everything durable, or could not: %s",
					 disk->uri, strerror(-result)) : 0;
}

static void nbd_disk_submit(struct platter_disk *platter, struct platter_request *request)
{
	struct job *job = (struct job *)(void *)request->data;

	*job = (struct job){ .request = request };
	work_submit(platter_disk_data(platter), job);
}

/* How large it is now, by a connection of its own: the others were told at their beginning. */
static int ask(struct nbd_disk *disk, uint64_t *bytes, struct platter_error *error)
{
	struct connection asking = { .disk = disk, .wake = -1 };
	struct upstream upstream;
	int result = connection_dial(&asking, &upstream, ASK_SECONDS);

	if (result < 0)
		platter_fail(error, -result, "%s: %s", disk->uri, asking.reason);
	else
		*bytes = upstream.bytes;
	connection_destroy(&asking);
	return result;
}

static unsigned nbd_disk_check_events(struct platter_disk *platter)
{
	struct nbd_disk *disk = platter_disk_data(platter);
	uint64_t bytes;

	return ask(disk, &bytes, NULL) == 0 && bytes != disk->upstream.bytes ? PLATTER_EVENT_RESIZED : 0;
}

static int nbd_disk_revalidate(struct platter_disk *platter, uint64_t *bytes, struct platter_error *error)
{
	struct nbd_disk *disk = platter_disk_data(platter);
	int result = ask(disk, bytes, error);

	/* From now on connections must find it as large. */
	pthread_mutex_lock(&disk->lock);
	if (result == 0 && *bytes > disk->upstream.bytes)
		disk->upstream.bytes = *bytes;
	pthread_mutex_unlock(&disk->lock);
	return result;
}

static int nbd_disk_ioctl(struct platter_disk *platter, const char *command, unsigned argc, const char *const *argv,
			  struct platter_reply *reply, struct platter_error *error)
{
	struct nbd_disk *disk = platter_disk_data(platter);

	if (argc)
		return platter_fail(error, EINVAL, "%s: %s: not expected", command, argv[0]);
	if (strcmp(command, "give-up") == 0) {
		platter_reply(reply, "%u requests have failed", work_fail_waiting(disk));
		return 0;
	}
	pthread_mutex_lock(&disk->lock);
	for (unsigned i = 0; i < disk->count; i++) {
		const struct connection *c = &disk->connections[i];

		platter_reply(reply, "%u: %s, made %u times, %u requests", c->number,
			      c->ready ? "connected" : *c->reason ? c->reason : "dialing", c->times, c->load);
	}
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

static const struct platter_command nbd_commands[] = {
	{ "connections", "", "how each of them is" },
	{ "give-up", "", "has the requests fail that wait for the server" },
	{ .name = NULL },
};

static const struct platter_key nbd_keys[] = {
	{ "uri", PLATTER_KEY_STRING, "the server and its export, as nbd://HOST/EXPORT" },
	{ "connections", PLATTER_KEY_NUMBER, "how many, if the server takes several (1)" },
	{ "timeout", PLATTER_KEY_NUMBER, "seconds that requests wait for a server that is gone; 0: for ever (60)" },
	{ .name = NULL },
};

static const struct platter_disk_ops nbd_ops = {
	.size = sizeof(nbd_ops),
	.open = nbd_disk_open,
	.release = nbd_disk_release,
	.submit = nbd_disk_submit,
	.revalidate = nbd_disk_revalidate,
	.check_events = nbd_disk_check_events,
	.ioctl = nbd_disk_ioctl,
	.commands = nbd_commands,
};

static const struct platter_driver nbd_driver = {
	.size = sizeof(nbd_driver),
	.name = "nbd",
	.description = "a disk that another NBD server has",
	.keys = nbd_keys,
	.ops = &nbd_ops,
	.probe = nbd_disk_probe,
	.remove = nbd_disk_remove,
};

/*
 * libnbd stays when the module goes: each thread that has called it, also the host's, keeps something of it that only its
 * own code gives back at the thread's end.
 */
static int keep_library(void)
{
	Dl_info library;

	return dladdr((void *)(uintptr_t)nbd_create, &library) && dlopen(library.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) ?
		       0 : -ELIBACC;
}

static int nbd_init(void)
{
	int result = keep_library();

	if (result < 0) {
		platter_log(PLATTER_LOG_ERROR, "nbd: libnbd cannot be kept in memory: %s", dlerror());
		return result;
	}
	return platter_register_driver(&nbd_driver);
}

static void nbd_exit(void)
{
	platter_unregister_driver(&nbd_driver);
}

PLATTER_MODULE("nbd", "1.0", "BSD-2-Clause", "The Platter developers", "disks that other NBD servers have");
PLATTER_INIT(nbd_init);
PLATTER_EXIT(nbd_exit);
PLATTER_ALIAS("driver:nbd");
