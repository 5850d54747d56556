/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/reactor.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/host/fd_io.h"
#include "server/net/conn.h"

static struct reactor *reactors;
static unsigned count;
static unsigned watchdog_seconds;
static atomic_uint holds;
static atomic_bool ending;
static _Thread_local struct reactor *self;

unsigned reactor_count(void)
{
	return count;
}

struct reactor *reactor_at(unsigned index)
{
	return &reactors[index];
}

struct reactor *reactor_self(void)
{
	return self;
}

struct reactor *reactor_least_loaded(void)
{
	struct reactor *least = &reactors[0];

	for (unsigned i = 1; i < count; i++)
		if (atomic_load(&reactors[i].load) < atomic_load(&least->load))
			least = &reactors[i];
	return least;
}

static void collect_run(struct engine_message *message)
{
	block_collect(&container_of(message, struct reactor, collect)->block);
}

static void block_wake(struct block *block)
{
	struct reactor *reactor = container_of(block, struct reactor, block);

	engine_post(reactor->engine, &reactor->collect);
}

static void tick_done(struct engine_op *op, int result)
{
	struct reactor *reactor = container_of(op, struct reactor, tick_op);

	reactor->ticking = false;
	if (result == -ECANCELED)
		return;
	reactor->ticks++;
	block_watch(&reactor->block, watchdog_seconds);
	block_trim(&reactor->block);
	conn_tick(reactor);
}

static void unplug_done(struct engine_op *op, int result)
{
	struct reactor *reactor = container_of(op, struct reactor, unplug_op);

	(void)result; /* canceled, too: for one that is due earlier */
	reactor->unplugging = false;
	if (reactor->stopped)
		return;
	block_look_at_clock(&reactor->block);
	block_unplug(&reactor->block);
}

/* One timer for all: block_unplug() sets it anew for those that are left. */
static void block_timer(struct block *block, uint64_t ns)
{
	struct reactor *reactor = container_of(block, struct reactor, block);

	if (reactor->unplugging && ns >= reactor->unplug_at)
		return;
	reactor->unplug_at = ns;
	if (reactor->unplugging) {
		engine_cancel(reactor->engine, &reactor->unplug_op);
		return;
	}
	reactor->unplugging = true;
	engine_timer(reactor->engine, &reactor->unplug_op, ns > block->now ? ns - block->now : 1);
}

void reactor_need_tick(struct reactor *reactor)
{
	if (reactor->ticking || reactor->stopped)
		return;
	reactor->ticking = true;
	engine_timer(reactor->engine, &reactor->tick_op, 1000000000u);
}

static int reactor_init(struct reactor *reactor, unsigned index, const struct reactor_config *config)
{
	int result = engine_create(&reactor->engine, &config->engine);

	if (result < 0)
		return result;
	reactor->index = index;
	block_init(&reactor->block, index, config->memory_limit);
	reactor->block.wake = block_wake;
	reactor->block.timer = block_timer;
	reactor->unplug_op.done = unplug_done;
	engine_keep_time(reactor->engine, &reactor->block.now);
	reactor->collect.run = collect_run;
	list_init(&reactor->connections);
	list_init(&reactor->input);
	list_init(&reactor->output);
	list_init(&reactor->receive);
	list_init(&reactor->transfers);
	list_init(&reactor->commit);
	list_init(&reactor->finished);
	reactor->tick_op.done = tick_done;
	self = reactor;
	block_set_self(&reactor->block);
	return 0;
}

/* On its own thread.  The engine stays: other reactors may still post to it. */
static void reactor_exit(struct reactor *reactor)
{
	reactor->stopped = true;
	if (reactor->ticking)
		engine_cancel(reactor->engine, &reactor->tick_op);
	if (reactor->unplugging)
		engine_cancel(reactor->engine, &reactor->unplug_op);
	while (reactor->ticking || reactor->unplugging)
		engine_wait(reactor->engine, false);
	block_destroy(&reactor->block);
}

/* Whether the next turn must not wait for events. */
static bool has_work(struct reactor *reactor)
{
	return !list_empty(&reactor->input) || !list_empty(&reactor->finished) || block_has_work(&reactor->block);
}

/* Each turn is a list of phases.  Whatever arrives while one turn runs is the next one's batch. */
void reactor_run(struct reactor *reactor)
{
	struct list_head input, *node;

	list_init(&input);
	while (!(reactor->stopping && conn_count() == 0 && atomic_load(&holds) == 0 && !disk_any_operation(reactor->index))) {
		engine_wait(reactor->engine, has_work(reactor));
		/* Who asks to be looked at again has its turn after the others. */
		list_splice_tail_init(&reactor->input, &input);
		while ((node = list_pop(&input)))
			conn_parse(container_of(node, struct conn, input_link));
		block_dispatch(&reactor->block);
		fd_io_finish(reactor);
		while ((node = list_pop(&reactor->output)))
			conn_send(container_of(node, struct conn, output_link));
		fd_io_start(reactor);
		while ((node = list_pop(&reactor->receive)))
			conn_receive(container_of(node, struct conn, receive_link));
		if (block_holds_memory(&reactor->block) || block_has_running(&reactor->block))
			reactor_need_tick(reactor);
	}
}

struct starting {
	struct reactor *reactor;
	unsigned index;
	const struct reactor_config *config;
	sem_t ready;
	int result;
};

/* An engine belongs to the thread that makes it. */
static void *reactor_thread(void *argument)
{
	struct starting *starting = argument;
	struct reactor *reactor = starting->reactor;
	int result = reactor_init(reactor, starting->index, starting->config);
	char name[16];

	snprintf(name, sizeof(name), "reactor-%u", starting->index);
	pthread_setname_np(pthread_self(), name);
	starting->result = result;
	sem_post(&starting->ready);
	if (result == 0) {
		reactor_run(reactor);
		reactor_exit(reactor);
	}
	return NULL;
}

static int reactor_spawn(unsigned index, const struct reactor_config *config)
{
	struct starting starting = { .reactor = &reactors[index], .index = index, .config = config };
	int result;

	sem_init(&starting.ready, 0, 0);
	result = -pthread_create(&reactors[index].thread, NULL, reactor_thread, &starting);
	if (result == 0) {
		while (sem_wait(&starting.ready) < 0)
			;
		result = starting.result;
		if (result < 0)
			pthread_join(reactors[index].thread, NULL);
	}
	sem_destroy(&starting.ready);
	return result;
}

int reactors_start(const struct reactor_config *config)
{
	int result;

	watchdog_seconds = config->watchdog_seconds;
	reactors = calloc(config->count, sizeof(*reactors));
	if (!reactors)
		return -ENOMEM;
	result = reactor_init(&reactors[0], 0, config);
	if (result < 0) {
		free(reactors);
		reactors = NULL;
		return result;
	}
	for (count = 1; count < config->count; count++) {
		result = reactor_spawn(count, config);
		if (result < 0) {
			log_warning("only %u of %u reactors: %s", count, config->count, engine_refusal(result));
			break;
		}
	}
	return 0;
}

void reactors_log(void)
{
	log_notice("%u reactor%s on %s", count, count == 1 ? "" : "s", engine_name(reactors[0].engine));
}

static void stop_run(struct engine_message *message)
{
	struct reactor *reactor = container_of(message, struct reactor, stop);

	reactor->stopping = true;
	conn_stop_all(reactor);
}

void reactors_stop(void)
{
	atomic_store(&ending, true);
	for (unsigned i = 0; i < count; i++) {
		reactors[i].stop.run = stop_run;
		engine_post(reactors[i].engine, &reactors[i].stop);
	}
}

static void nudge_run(struct engine_message *message)
{
	atomic_store(&container_of(message, struct reactor, nudge)->nudged, false);
}

void reactors_nudge(void)
{
	for (unsigned i = 0; i < count; i++) {
		if (atomic_exchange(&reactors[i].nudged, true))
			continue;
		reactors[i].nudge.run = nudge_run;
		engine_post(reactors[i].engine, &reactors[i].nudge);
	}
}

bool reactors_hold(void)
{
	/* In this order: a reactor that ends is asked to before it looks at the number. */
	atomic_fetch_add(&holds, 1);
	if (!atomic_load(&ending))
		return true;
	reactors_release();
	return false;
}

void reactors_release(void)
{
	if (atomic_fetch_sub(&holds, 1) == 1 && atomic_load(&ending))
		reactors_nudge();
}

struct call {
	struct engine_message message;
	struct reactor *reactor;
	void (*fn)(struct reactor *reactor, void *argument);
	void *argument;
	sem_t *done;
};

static void call_run(struct engine_message *message)
{
	struct call *call = container_of(message, struct call, message);

	call->fn(call->reactor, call->argument);
	sem_post(call->done);
}

void reactor_call(struct reactor *reactor, void (*fn)(struct reactor *reactor, void *argument), void *argument)
{
	sem_t done;
	struct call call = { { .run = call_run }, reactor, fn, argument, &done };

	sem_init(&done, 0, 0);
	engine_post(reactor->engine, &call.message);
	while (sem_wait(&done) < 0)
		;
	sem_destroy(&done);
}

void reactors_call(void (*fn)(struct reactor *reactor, void *argument), void *argument)
{
	for (unsigned i = 0; i < count; i++)
		reactor_call(&reactors[i], fn, argument);
}

struct block_call {
	void (*fn)(struct block *block, void *argument);
	void *argument;
};

static void block_call_run(struct reactor *reactor, void *argument)
{
	const struct block_call *call = argument;

	call->fn(&reactor->block, call->argument);
}

void reactors_call_blocks(unsigned index, void (*fn)(struct block *block, void *argument), void *argument)
{
	struct block_call call = { fn, argument };

	if (index == DISK_EVERY_REACTOR)
		reactors_call(block_call_run, &call);
	else
		reactor_call(&reactors[index % count], block_call_run, &call);
}

void reactors_finish(void)
{
	for (unsigned i = 1; i < count; i++)
		pthread_join(reactors[i].thread, NULL);
	reactor_exit(&reactors[0]);
}

void reactors_destroy(void)
{
	for (unsigned i = 0; i < count; i++)
		engine_destroy(reactors[i].engine);
	free(reactors);
	reactors = NULL;
	count = 0;
}
