/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/ending.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/registry.h"
#include "server/module/module.h"
#include "server/net/conn.h"

#define AGAIN_SECONDS 5

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned seconds;
	bool started, over;
} ending = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

void ending_init(unsigned seconds)
{
	ending.seconds = seconds;
}

/* With the registry's lock held: what keeps DISK, NULL for nothing. */
static const char *reason(struct disk *disk)
{
	enum open_phase phase;
	unsigned users;

	pthread_mutex_lock(&disk->open.lock);
	phase = disk->open.phase;
	users = disk->open.users;
	pthread_mutex_unlock(&disk->open.lock);
	switch (phase) {
	case DISK_OPENING:
		return "which its driver is still opening";
	case DISK_RELEASING:
		return "which its driver is still releasing";
	default:
		if (users)
			return "which is in use: its driver may have requests";
		return disk->state == DISK_LIVE ? NULL : "which is still being added or removed";
	}
}

static unsigned name_disks(void)
{
	struct list_head *node;
	unsigned count = 0;

	registry_lock();
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);
		const char *why = reason(disk);

		if (why)
			log_warning("still waiting for the disk %s, %s", disk->name, why);
		count += why != NULL;
	}
	registry_unlock();
	return count;
}

static unsigned name_modules(void)
{
	struct list_head *node;
	unsigned count = 0;

	module_lock();
	list_for_each(node, module_list()) {
		const struct module *module = container_of(node, struct module, link);

		if (module->state == MODULE_LIVE)
			continue;
		log_warning("still waiting for the module %s, which is being %s", module->info.name,
			    module->state == MODULE_LOADING ? "loaded: has its init returned?" : "unloaded: has its exit returned?");
		count++;
	}
	module_unlock();
	return count;
}

static void look(void)
{
	unsigned disks = name_disks(), modules = name_modules();

	if (modules == 0 || disks || conn_count())
		return;
	log_error("ending without waiting any longer for modules");
	_exit(EXIT_FAILURE);
}

static void *run(void *argument)
{
	struct timespec limit = clock_timespec(clock_ns() + ending.seconds * UINT64_C(1000000000));

	(void)argument;
	pthread_setname_np(pthread_self(), "ending");
	pthread_mutex_lock(&ending.lock);
	while (!ending.over) {
		if (pthread_cond_clockwait(&ending.wake, &ending.lock, CLOCK_MONOTONIC, &limit) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&ending.lock);
		look();
		limit = clock_timespec(clock_ns() + AGAIN_SECONDS * UINT64_C(1000000000));
		pthread_mutex_lock(&ending.lock);
	}
	pthread_mutex_unlock(&ending.lock);
	return NULL;
}

void ending_begin(void)
{
	ending.started = pthread_create(&ending.thread, NULL, run, NULL) == 0;
}

void ending_over(void)
{
	if (!ending.started)
		return;
	pthread_mutex_lock(&ending.lock);
	ending.over = true;
	pthread_cond_signal(&ending.wake);
	pthread_mutex_unlock(&ending.lock);
	pthread_join(ending.thread, NULL);
	ending.started = false;
}
