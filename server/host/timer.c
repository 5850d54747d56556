/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/host/timer.h"

#include <stdbool.h>

#include <platter/host.h>

#include "common/list.h"
#include "server/block/disk.h"
#include "server/reactor.h"

/* In platter_timer.host. */
struct host_side {
	struct engine_op op;
	struct list_head link; /* in its disk's `timers`, until the engine gives it back */
	bool stopped;
};

_Static_assert(sizeof(struct host_side) <= sizeof(((struct platter_timer *)NULL)->host), "the host's part is too small");

static void timer_done(struct engine_op *op, int result)
{
	struct host_side *host = container_of(op, struct host_side, op);
	struct platter_timer *timer = container_of((void **)(void *)host, struct platter_timer, host[0]);

	(void)result;
	list_del_init(&host->link);
	/* It may have rung before it was stopped, and only be heard of now. */
	if (!host->stopped)
		timer->done(timer);
}

void platter_timer_start(struct platter_disk *disk_side, struct platter_timer *timer, uint64_t nanoseconds)
{
	struct disk *disk = (struct disk *)disk_side;
	struct host_side *host = (struct host_side *)(void *)timer->host;
	struct reactor *reactor = reactor_self();

	host->op.done = timer_done;
	host->stopped = false;
	list_add_tail(&host->link, &disk->io[reactor->index].timers);
	engine_timer(reactor->engine, &host->op, nanoseconds);
}

unsigned timer_stop_all(struct disk_io *io)
{
	struct list_head *node;
	unsigned count = 0;

	list_for_each(node, &io->timers) {
		struct host_side *host = container_of(node, struct host_side, link);

		if (!host->stopped)
			engine_cancel(reactor_self()->engine, &host->op);
		host->stopped = true;
		count++;
	}
	return count;
}
