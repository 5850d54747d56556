/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/engine/busy_poll.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool busy_poll_add(struct busy_poll *poll, const struct busy_receive *receive)
{
	if (poll->count == BUSY_POLL_MOST)
		return false;
	poll->receives[poll->count++] = *receive;
	return true;
}

/* The others move up: who is ready all the time is behind them when it is added again. */
static void take(struct busy_poll *poll, unsigned index)
{
	poll->count--;
	memmove(&poll->receives[index], &poll->receives[index + 1], (poll->count - index) * sizeof(poll->receives[0]));
}

bool busy_poll_try(struct busy_poll *poll, struct engine_op **op, int *result, struct engine_stats *stats)
{
	for (unsigned i = 0; i < poll->count; i++) {
		const struct busy_receive *receive = &poll->receives[i];
		ssize_t got = recv(receive->fd, receive->buffer, receive->size, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			stats->empty_polls++;
			continue;
		}
		stats->system_calls++;
		*op = receive->op;
		*result = got < 0 ? -errno : (int)got;
		take(poll, i);
		return true;
	}
	return false;
}

bool busy_poll_take_old(struct busy_poll *poll, uint64_t until, struct busy_receive *ret)
{
	for (unsigned i = 0; i < poll->count; i++) {
		if (poll->receives[i].since >= until)
			continue;
		*ret = poll->receives[i];
		take(poll, i);
		return true;
	}
	return false;
}

bool busy_poll_remove(struct busy_poll *poll, const struct engine_op *op)
{
	for (unsigned i = 0; i < poll->count; i++) {
		if (poll->receives[i].op == op) {
			take(poll, i);
			return true;
		}
	}
	return false;
}

/* So many misses beyond the hits are enough, and after a pause fewer. */
#define MISSES_MOST 16
#define MISSES_PROBE 4

#define PAUSE_LEAST 64
#define PAUSE_MOST 4096

void poll_luck_count(struct poll_luck *luck, bool came)
{
	if (came) {
		if (luck->misses && --luck->misses == 0)
			luck->longer = 0;
		return;
	}
	if (++luck->misses < MISSES_MOST)
		return;
	luck->longer = luck->longer ? luck->longer * 2 : PAUSE_LEAST;
	if (luck->longer > PAUSE_MOST)
		luck->longer = PAUSE_MOST;
	luck->pause = luck->longer;
	luck->misses = MISSES_MOST - MISSES_PROBE;
}

bool poll_luck_try(struct poll_luck *luck)
{
	if (luck->pause == 0)
		return true;
	luck->pause--;
	return false;
}

uint64_t busy_poll_adapt(uint64_t now, uint64_t most, bool came)
{
	uint64_t step = most / 8 + 1;
	uint64_t probe = most / 64 + 1;

	if (came)
		return most - now < step ? most : now + step;
	return now / 2 < probe ? probe : now / 2;
}
