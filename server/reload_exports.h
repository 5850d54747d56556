/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exports of the configuration: those that there are are made to be those
 * that it says.  One whose clients are still there leaves with them, and what
 * takes its place comes then.
 */
#ifndef SERVER_RELOAD_EXPORTS_H
#define SERVER_RELOAD_EXPORTS_H

#include <pthread.h>

struct config;
struct list_head;
struct pool;

/* LOCK is held by whoever calls here, and taken by what goes on later, on POOL. */
void reload_exports_init(pthread_mutex_t *lock, const struct config *config, struct pool *pool);

/* From now on CONFIG counts, until there is another. */
void reload_exports_use(const struct config *config);
/* Does what is to be done; REMARKS: see remarks.h. */
void reload_exports_settle(struct list_head *remarks);

/* Without the lock: nobody waits any more. */
void reload_exports_stop(void);
void reload_exports_free(void);

#endif
