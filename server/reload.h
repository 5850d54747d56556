/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the configuration again and doing what has changed in it: exports,
 * listeners, certificates, modules.  What the command line and administrators
 * asked for is left alone, and so are clients of what stays.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include <stdbool.h>

#include "common/list.h"

struct config;
struct options;
struct platter_error;
struct pool;

/*
 * At the start: GIVEN is what the command line says, and nothing else; CONFIG has been read and is kept by the caller; exports
 * that wait for their clients to leave do so on POOL.
 */
void reload_init(const struct options *given, const struct config *config, struct pool *pool);

/* Adds the exports of the configuration that are to be there from the start; each failure is logged. */
int reload_add_all(void);

/* Clients are let in: from now on there may be reloads. */
void reload_allow(void);

/* Whether there is a configuration to read. */
bool reload_is_possible(void);

/* Where it is, or would be, as an absolute path to be freed; NULL: nowhere, with --config=none, or there is no memory. */
char *reload_path(void);

/*
 * Does it; not on a reactor, which must be held.  REMARKS, see remarks.h, is for the caller to free.  -EINVAL: the configuration is
 * wrong, *WHOLE, to be freed, says in how many ways, and all is as it was.  Others with ERROR.
 */
int reload_run(struct list_head *remarks, char **whole, struct platter_error *error);

/* Reads certificates and keys again, and nothing else. */
int reload_tls(struct platter_error *error);

/* Exports don't wait for their clients any longer: the server ends. */
void reload_stop(void);

/* After all threads that may come here. */
void reload_free(void);

#endif
