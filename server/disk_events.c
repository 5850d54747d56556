/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/disk_events.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/clock.h"
#include "server/block/disk.h"
#include "server/block/media.h"
#include "server/block/registry.h"
#include "server/control/event.h"

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool started, stopping, changed;
} events = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

/* A disk that is to be asked now, a reference; otherwise *NEXT is when the next one is, UINT64_MAX for never. */
static struct disk *take_due(uint64_t *next)
{
	uint64_t now = clock_ns();
	struct disk *due = NULL;
	struct list_head *node;

	*next = UINT64_MAX;
	registry_lock();
	list_for_each(node, disk_list()) {
		struct disk *disk = container_of(node, struct disk, link);

		if (disk->state != DISK_LIVE || !disk->events_ms || due)
			continue;
		if (disk->events_at <= now) {
			disk->events_at = now + disk->events_ms * UINT64_C(1000000);
			due = disk_get(disk);
		} else if (disk->events_at < *next) {
			*next = disk->events_at;
		}
	}
	registry_unlock();
	return due;
}

/* Until it is UNTIL, or something changes.  False when it is time to end. */
static bool wait_until(uint64_t until)
{
	const struct timespec limit = clock_timespec(until);
	bool goes_on;
	int result = 0;

	pthread_mutex_lock(&events.lock);
	while (!events.stopping && !events.changed && result != ETIMEDOUT)
		result = until == UINT64_MAX ? pthread_cond_wait(&events.wake, &events.lock) :
					       pthread_cond_clockwait(&events.wake, &events.lock, CLOCK_MONOTONIC, &limit);
	events.changed = false;
	goes_on = !events.stopping;
	pthread_mutex_unlock(&events.lock);
	return goes_on;
}

static void *run(void *argument)
{
	struct disk *disk;
	uint64_t next;

	(void)argument;
	pthread_setname_np(pthread_self(), "disk-events");
	do {
		while ((disk = take_due(&next))) {
			event_media(disk, media_check_events(disk));
			disk_put(disk);
		}
	} while (wait_until(next));
	return NULL;
}

int disk_events_start(void)
{
	int result = -pthread_create(&events.thread, NULL, run, NULL);

	events.started = result == 0;
	return result;
}

static void wake(bool stopping)
{
	pthread_mutex_lock(&events.lock);
	events.changed = true;
	events.stopping |= stopping;
	pthread_cond_signal(&events.wake);
	pthread_mutex_unlock(&events.lock);
}

void disk_events_changed(void)
{
	wake(false);
}

void disk_events_stop(void)
{
	if (!events.started)
		return;
	wake(true);
	pthread_join(events.thread, NULL);
	events.started = false;
}
