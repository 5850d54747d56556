/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/notify.h"

#include <config.h>

#ifdef HAVE_SYSTEMD
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/net/conn.h"
#include "server/reactor.h"

/* How often it is looked, unless the watchdog wants more. */
#define PERIOD_US 5000000u
/* What is asked for at a time, while there is no end to be seen. */
#define MORE_TIME_US 30000000u

enum stage { STARTING, READY, STOPPING };

/* To a reactor: it answers by taking it. */
struct ping {
	struct engine_message message;
	atomic_bool pending;
};

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under the lock: */
	bool started, over;
	enum stage stage;
	unsigned exports, clients; /* as was told last */
	bool told;
	/* The thread's own: */
	uint64_t period_us;
	bool watched;
	struct ping *pings;        /* of each reactor */
} notify = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void ping_run(struct engine_message *message)
{
	atomic_store(&container_of(message, struct ping, message)->pending, false);
}

static void ping_all(void)
{
	for (unsigned i = 0; i < reactor_count(); i++) {
		notify.pings[i].message.run = ping_run;
		atomic_store(&notify.pings[i].pending, true);
		engine_post(reactor_at(i)->engine, &notify.pings[i].message);
	}
}

/* Whether all reactors have come as far as our last messages. */
static bool all_answered(void)
{
	for (unsigned i = 0; i < reactor_count(); i++)
		if (atomic_load(&notify.pings[i].pending))
			return false;
	return true;
}

static unsigned count_exports(void)
{
	struct list_head *node;
	unsigned count = 0;

	registry_lock();
	list_for_each(node, export_list())
		count += !container_of(node, struct export, link)->removing;
	registry_unlock();
	return count;
}

/* With the lock held; only what is new. */
static void tell_status(void)
{
	unsigned exports = count_exports(), clients = conn_count();

	if (notify.told && exports == notify.exports && clients == notify.clients)
		return;
	notify.told = true;
	notify.exports = exports;
	notify.clients = clients;
	sd_notifyf(0, "STATUS=%s %u export%s, %u client%s", notify.stage == STOPPING ? "Finishing:" : "Serving", exports,
		   exports == 1 ? "" : "s", clients, clients == 1 ? "" : "s");
}

/* With the lock held, once in a period. */
static void look(void)
{
	if (notify.watched && notify.stage == READY && all_answered()) {
		sd_notify(0, "WATCHDOG=1");
		ping_all();
	}
	if (notify.stage != STARTING)
		tell_status();
	/* Partition tables to read, data to make durable: however long that takes. */
	if (notify.stage != READY)
		sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%u", MORE_TIME_US);
}

static void *run(void *argument)
{
	(void)argument;
	pthread_setname_np(pthread_self(), "notify");
	pthread_mutex_lock(&notify.lock);
	while (!notify.over) {
		struct timespec next = clock_timespec(clock_ns() + notify.period_us * 1000);

		look();
		while (!notify.over && pthread_cond_clockwait(&notify.wake, &notify.lock, CLOCK_MONOTONIC, &next) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&notify.lock);
	return NULL;
}

void notify_start(void)
{
	uint64_t limit_us = 0;

	if (!getenv("NOTIFY_SOCKET"))
		return;
	notify.watched = sd_watchdog_enabled(0, &limit_us) > 0;
	notify.period_us = notify.watched && limit_us / 4 < PERIOD_US ? limit_us / 4 : PERIOD_US;
	notify.pings = calloc(reactor_count(), sizeof(*notify.pings));
	notify.started = notify.pings && pthread_create(&notify.thread, NULL, run, NULL) == 0;
	if (!notify.started)
		log_warning("no thread for the service manager: it isn't told how the server is");
}

static void enter(enum stage stage, const char *state)
{
	pthread_mutex_lock(&notify.lock);
	/* A reload may end when the end has begun. */
	if (notify.stage != STOPPING) {
		notify.stage = stage;
		notify.told = false;
		sd_notify(0, state);
		tell_status();
	}
	pthread_mutex_unlock(&notify.lock);
}

void notify_ready(void)
{
	enter(READY, "READY=1");
}

void notify_reloading(void)
{
	pthread_mutex_lock(&notify.lock);
	if (notify.stage == READY)
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_ns() / 1000);
	pthread_mutex_unlock(&notify.lock);
}

void notify_reloaded(void)
{
	enter(READY, "READY=1");
}

void notify_stopping(void)
{
	enter(STOPPING, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000");
}

void notify_end(void)
{
	if (!notify.started)
		return;
	pthread_mutex_lock(&notify.lock);
	notify.over = true;
	pthread_cond_signal(&notify.wake);
	pthread_mutex_unlock(&notify.lock);
	pthread_join(notify.thread, NULL);
	free(notify.pings);
	notify.started = false;
}

#else

void notify_start(void)
{
}

void notify_ready(void)
{
}

void notify_reloading(void)
{
}

void notify_reloaded(void)
{
}

void notify_stopping(void)
{
}

void notify_end(void)
{
}
#endif
