/* SPDX-License-Identifier: BSD-2-Clause */
/* What has to be done with running reactors before the first client comes: reading partition tables. */
#ifndef SERVER_STARTUP_H
#define SERVER_STARTUP_H

struct reactor;

/* Does it, on a thread of its own if there is anything, then calls READY on the first reactor, unless that is asked to end. */
void startup_run(void (*ready)(struct reactor *reactor));
void startup_wait(void);

#endif
