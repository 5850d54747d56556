/* SPDX-License-Identifier: BSD-2-Clause */
/* Who does which job: what a disk's connections share, under its lock. */
#ifndef PLUGINS_NBD_WORK_H
#define PLUGINS_NBD_WORK_H

#include "plugins/nbd/nbd.h"

/* CLOCK_MONOTONIC. */
uint64_t work_clock_ns(void);

void work_list_init(struct jobs *jobs);
void work_list_add(struct jobs *jobs, struct job *job);
void work_list_remove(struct jobs *jobs, struct job *job);

/* Has JOB done, by one of the connections, now or when there is one again. */
void work_submit(struct nbd_disk *disk, struct job *job);

/* For C's thread: the next one to send; NULL: it can sleep until it is woken. */
struct job *work_take(struct connection *c);

/* C is there.  It was lost, and its handle is closed: its jobs go to others, or wait. */
void work_ready(struct connection *c);
void work_lost(struct connection *c);

/* JOB, in no list, has ended. */
void work_end(struct nbd_disk *disk, struct job *job, int error);

/* When what waits will have waited for long enough; UINT64_MAX: never.  Fails it, if it has. */
uint64_t work_deadline(struct nbd_disk *disk);
void work_expire(struct nbd_disk *disk);

/* Fails what waits now; how many that were. */
unsigned work_fail_waiting(struct nbd_disk *disk);

#endif
