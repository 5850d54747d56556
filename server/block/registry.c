/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/registry.h"

#include <pthread.h>
#include <time.h>

#include "common/clock.h"

#define STEP_NS UINT64_C(1000000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void registry_lock(void)
{
	pthread_mutex_lock(&lock);
}

void registry_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void registry_wait(uint64_t until)
{
	const struct timespec limit = clock_timespec(until);

	pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &limit);
}

void registry_changed(void)
{
	pthread_cond_broadcast(&changed);
}

bool patience_lasts(const struct patience *patience)
{
	return clock_ns() < patience->until && !(patience->give_up && patience->give_up(patience->argument));
}

uint64_t patience_step(const struct patience *patience)
{
	uint64_t step = clock_ns() + STEP_NS;

	return step < patience->until ? step : patience->until;
}
