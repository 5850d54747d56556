/* SPDX-License-Identifier: BSD-2-Clause */
/* What a supervisor tells systemd, if that started it; see sd_notify(3). */
#ifndef CLIENT_SERVICE_H
#define CLIENT_SERVICE_H

#include <stdbool.h>

/* Whether systemd runs this machine, and may be asked to run a supervisor. */
bool service_manager_runs(void);

void service_ready(void);
void service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Has it keep FD, of connection WHICH, for the next supervisor; and no more. */
void service_keep(unsigned which, int fd);
void service_drop(unsigned which);

/* What the one before had it keep: descriptors, the caller's, by number of connection; -1: none.  COUNT: of FDS. */
void service_take(int *fds, unsigned count);

#endif
