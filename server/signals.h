/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals: SIGTERM, SIGINT and SIGHUP end the daemon in good order, a second
 * one at once, but where SIGHUP has something to reload; SIGUSR1 logs the counters.
 */
#ifndef SERVER_SIGNALS_H
#define SERVER_SIGNALS_H

#include <stdbool.h>

/* Before the first thread: what never ends the daemon. */
void signals_init(void);

/* From here on nothing ends it halfway: before the first reactor and the first listener.  -errno. */
int signals_block(void);

/*
 * The calling thread's reactor, the first, sees to them; STOP is called once, at the first that asks for the end.
 * SIGHUP is that, too, unless RELOADS says that it asks for a RELOAD; then it does nothing once the end was asked for.
 */
void signals_watch(void (*stop)(void), bool (*reloads)(void), void (*reload)(void));

/* The reactor has ended: another signal ends what is still to be done. */
void signals_unwatch(void);

#endif
