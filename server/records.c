/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/records.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t added = PTHREAD_COND_INITIALIZER;
static struct record records[RECORDS_MOST]; /* number N lies at N % RECORDS_MOST */
static uint64_t newest;
static uint64_t started_ns;

static uint64_t realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void records_add(enum record_kind kind, enum log_level level, const char *text)
{
	struct record record = { .kind = kind, .level = level, .text = strdup(text) };
	struct record *place;

	if (!record.text) /* nobody can be told */
		return;
	pthread_mutex_lock(&lock);
	record.realtime_us = realtime_us();
	record.uptime_us = (clock_ns() - started_ns) / 1000u;
	record.number = ++newest;
	place = &records[record.number % RECORDS_MOST];
	free(place->text);
	*place = record;
	pthread_cond_broadcast(&added);
	pthread_mutex_unlock(&lock);
}

static void add_log(enum log_level level, const char *text)
{
	records_add(RECORD_LOG, level, text);
}

void records_init(void)
{
	started_ns = clock_ns();
	log_listen(add_log, LOG_LEVEL_INFO);
}

void records_free(void)
{
	log_listen(NULL, LOG_LEVEL_ERROR);
	for (unsigned i = 0; i < RECORDS_MOST; i++)
		record_free(&records[i]);
}

void record_free(struct record *record)
{
	free(record->text);
	record->text = NULL;
}

bool records_next(uint64_t after, unsigned kinds, struct record *ret)
{
	uint64_t number = after + 1;
	bool found = false;

	pthread_mutex_lock(&lock);
	if (newest > RECORDS_MOST && number <= newest - RECORDS_MOST)
		number = newest - RECORDS_MOST + 1;
	for (; number <= newest && !found; number++) {
		const struct record *record = &records[number % RECORDS_MOST];

		if (!record->text || !(record->kind & kinds))
			continue;
		*ret = *record;
		ret->text = strdup(record->text);
		found = ret->text != NULL;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

uint64_t records_newest(void)
{
	uint64_t number;

	pthread_mutex_lock(&lock);
	number = newest;
	pthread_mutex_unlock(&lock);
	return number;
}

uint64_t records_wait(uint64_t after)
{
	struct timespec until;
	uint64_t number;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&lock);
	while (newest <= after && result != ETIMEDOUT)
		result = pthread_cond_clockwait(&added, &lock, CLOCK_MONOTONIC, &until);
	number = newest;
	pthread_mutex_unlock(&lock);
	return number;
}
