/* SPDX-License-Identifier: BSD-2-Clause */
/* The rest of include/platter/host.h: timers and the log. */
#include <stdarg.h>
#include <stdio.h>

#include <platter/host.h>

#include "common/list.h"
#include "common/log.h"
#include "server/reactor.h"

_Static_assert(sizeof(struct engine_op) <= sizeof(((struct platter_timer *)NULL)->host), "the host's part is too small");

static void timer_done(struct engine_op *op, int result)
{
	struct platter_timer *timer = container_of((void **)(void *)op, struct platter_timer, host[0]);

	(void)result;
	timer->done(timer);
}

void platter_timer_start(struct platter_timer *timer, uint64_t nanoseconds)
{
	struct engine_op *op = (struct engine_op *)(void *)timer->host;

	op->done = timer_done;
	engine_timer(reactor_self()->engine, op, nanoseconds);
}

void platter_log_warning(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_warning("%s", text);
}
