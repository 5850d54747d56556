/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/redial.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "client/platter/verify.h"
#include "common/clock.h"
#include "common/log.h"

/* All memory of ours is locked: no more than it takes. */
#define STACK (512u << 10)

struct redial {
	const struct state *state;
	const struct dial *known;
	enum handshake_goal goal;
	int bell, cancel;
	pthread_t thread;
	pthread_mutex_t lock;    /* of what follows */
	bool over;
	struct link link;
	char reason[512];
};

static void keep_reason(struct redial *redial, const struct problem *problem)
{
	pthread_mutex_lock(&redial->lock);
	/* Once for each reason: the same one comes many times. */
	if (redial->goal == HANDSHAKE_GO && strcmp(redial->reason, problem->text) != 0)
		log_notice("%s: %s", redial->state->settings.name, problem->text);
	strcpy(redial->reason, problem->text);
	pthread_mutex_unlock(&redial->lock);
}

static bool try_at(struct redial *redial, const struct dial *dial, struct link *link)
{
	const struct state *state = redial->state;
	struct problem problem;

	if (link_open(link, dial, &state->settings.uri, redial->goal, redial->cancel, &problem) == 0 &&
	    verify_same(state, device_size(state->index), link, &problem) == 0)
		return true;
	link_close(link);
	keep_reason(redial, &problem);
	return false;
}

/* The resolver may wait for a disk, or for the network: it comes second. */
static bool try_once(struct redial *redial, struct link *link)
{
	struct problem problem;
	struct dial dial;

	if (try_at(redial, redial->known, link))
		return true;
	if (redial->state->settings.uri.socket)
		return false;
	if (dial_resolve(&dial, &redial->state->settings.uri, &problem) < 0) {
		keep_reason(redial, &problem);
		return false;
	}
	if (dial.count == redial->known->count && memcmp(dial.list, redial->known->list, dial.count * sizeof(dial.list[0])) == 0)
		return false;
	return try_at(redial, &dial, link);
}

/* Clients that lost the same server don't come back at the same time. */
static uint64_t pause_ns(uint64_t tried_ns)
{
	uint64_t ns = tried_ns / 20;
	uint8_t random = 128;

	if (ns < REDIAL_LEAST_NS)
		ns = REDIAL_LEAST_NS;
	if (ns > REDIAL_MOST_NS)
		ns = REDIAL_MOST_NS;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 128;
	return ns / 2 + ns * random / 256;
}

/* Whether it was called off meanwhile. */
static bool wait_or_end(struct redial *redial, uint64_t ns)
{
	struct pollfd slot = { .fd = redial->cancel, .events = POLLIN };
	const struct timespec time = clock_timespec(ns);

	return ppoll(&slot, 1, &time, NULL) != 0;
}

static void *run(void *argument)
{
	struct redial *redial = argument;
	struct link link = { .fd = -1 };
	uint64_t begin = clock_ns(), one = 1;

	while (!try_once(redial, &link)) {
		if (redial->goal != HANDSHAKE_GO || wait_or_end(redial, pause_ns(clock_ns() - begin)))
			break;
	}
	pthread_mutex_lock(&redial->lock);
	redial->link = link;
	redial->over = true;
	pthread_mutex_unlock(&redial->lock);
	(void)!write(redial->bell, &one, sizeof(one));
	return NULL;
}

struct redial *redial_begin(const struct state *state, const struct dial *addresses, enum handshake_goal goal, int bell)
{
	struct redial *redial = calloc(1, sizeof(*redial));
	pthread_attr_t attributes;
	int result = -1;

	if (!redial)
		return NULL;
	*redial = (struct redial){ .state = state, .known = addresses, .goal = goal, .bell = bell, .link.fd = -1 };
	pthread_mutex_init(&redial->lock, NULL);
	redial->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	if (redial->cancel >= 0)
		result = pthread_create(&redial->thread, &attributes, run, redial);
	pthread_attr_destroy(&attributes);
	if (result == 0)
		return redial;
	if (redial->cancel >= 0)
		close(redial->cancel);
	pthread_mutex_destroy(&redial->lock);
	free(redial);
	return NULL;
}

bool redial_is_over(struct redial *redial, struct link *link)
{
	bool over;

	pthread_mutex_lock(&redial->lock);
	over = redial->over;
	if (over) {
		*link = redial->link;
		redial->link = (struct link){ .fd = -1 };
	}
	pthread_mutex_unlock(&redial->lock);
	return over;
}

void redial_reason(struct redial *redial, char *text, size_t size)
{
	pthread_mutex_lock(&redial->lock);
	strncpy(text, redial->reason, size - 1);
	text[size - 1] = '\0';
	pthread_mutex_unlock(&redial->lock);
}

void redial_end(struct redial *redial)
{
	uint64_t one = 1;

	if (!redial)
		return;
	(void)!write(redial->cancel, &one, sizeof(one));
	pthread_join(redial->thread, NULL);
	link_close(&redial->link);
	close(redial->cancel);
	pthread_mutex_destroy(&redial->lock);
	free(redial);
}
