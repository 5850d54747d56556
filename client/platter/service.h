/* SPDX-License-Identifier: BSD-2-Clause */
/* What a supervisor tells systemd, if that started it; see sd_notify(3). */
#ifndef CLIENT_SERVICE_H
#define CLIENT_SERVICE_H

#include <stdbool.h>

#include "client/platter/problem.h"

struct settings;

/* Where what is attached by hand has its settings, as in /etc/platter/attach.d, while it is attached. */
#define SERVICE_DIRECTORY "/run/platter/attach.d"

/* Whether systemd runs this machine. */
bool service_manager_runs(void);

/*
 * Has systemd start platter@NAME.service for SETTINGS, which nothing configures unless CONFIGURED, and waits until the device
 * is there if WAITS.  STATUS_NOT_ATTACHED: systemd has no such service; otherwise what became of it.
 */
int service_start(const struct settings *settings, bool configured, bool waits, struct problem *problem);

/* Removes what service_start() wrote for NAME. */
void service_forget(const char *name);

void service_ready(void);

/* That of NAME won't be ready, for PROBLEM: whoever had it started learns why. */
void service_failed(const char *name, const struct problem *problem);
void service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Has it keep FD, of connection WHICH, for the next supervisor; and no more. */
void service_keep(unsigned which, int fd);
void service_drop(unsigned which);

/* What the one before had it keep: descriptors, the caller's, by number of connection; -1: none.  COUNT: of FDS. */
void service_take(int *fds, unsigned count);

#endif
