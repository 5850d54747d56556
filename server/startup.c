/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/startup.h"

#include <pthread.h>
#include <stdbool.h>

#include "common/log.h"
#include "server/admin.h"
#include "server/engine/engine.h"
#include "server/reactor.h"

static struct {
	pthread_t thread;
	bool started;
	struct engine_message message;
	void (*ready)(struct reactor *reactor);
} startup;

static void ready_run(struct engine_message *message)
{
	struct reactor *reactor = reactor_self();

	(void)message;
	if (!reactor->stopping)
		startup.ready(reactor);
}

static void *run(void *argument)
{
	(void)argument;
	pthread_setname_np(pthread_self(), "startup");
	if (!reactors_hold())
		return NULL;
	admin_scan_all();
	startup.message.run = ready_run;
	engine_post(reactor_at(0)->engine, &startup.message);
	reactors_release();
	return NULL;
}

void startup_run(void (*ready)(struct reactor *reactor))
{
	startup.ready = ready;
	if (!admin_wants_scan()) {
		ready(reactor_at(0));
		return;
	}
	startup.started = pthread_create(&startup.thread, NULL, run, NULL) == 0;
	if (startup.started)
		return;
	log_error("no thread can be had to read partition tables: there will be no partitions");
	ready(reactor_at(0));
}

void startup_wait(void)
{
	if (startup.started)
		pthread_join(startup.thread, NULL);
	startup.started = false;
}
