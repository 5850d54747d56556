/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/stats.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/reactor.h"

static void log_reactor(struct engine_message *message)
{
	const struct reactor *reactor = reactor_self();
	const struct engine_stats *engine = engine_stats(reactor->engine);
	uint64_t requests = reactor->block.requests;

	log_notice("reactor %u: %u connections, %" PRIu64 " requests, %" PRIu64 " system calls, %.3f system calls per request, %" PRIu64
		   " operations, %" PRIu64 " turns, %" PRIu64 " sleeps, %" PRIu64 " empty polls, %" PRIu64
		   " request allocations, %" PRIu64 " bytes of buffers",
		   reactor->index, atomic_load(&reactor->load), requests, engine->system_calls,
		   requests ? (double)engine->system_calls / (double)requests : 0.0, engine->submitted, engine->waits, engine->sleeps,
		   engine->empty_polls, reactor->block.allocations, reactor->block.buffers.bytes);
	free(message);
}

void stats_log(void)
{
	for (unsigned i = 0; i < reactor_count(); i++) {
		struct engine_message *message = malloc(sizeof(*message));

		if (!message)
			return;
		message->run = log_reactor;
		engine_post(reactor_at(i)->engine, message);
	}
}
