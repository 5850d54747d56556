/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the server listens, by its command line or else its configuration, and on sockets that it was started with. */
#ifndef SERVER_LISTENING_H
#define SERVER_LISTENING_H

#include "common/list.h"

struct config;
struct options;
struct platter_error;

/* Binds all of it, once TLS is there; clients wait until listen_start(). */
int listening_begin(const struct options *options, const struct config *config, struct platter_error *error);

/* Has it as they say now, while the first reactor runs; REMARKS: see remarks.h. */
void listening_change(const struct options *options, const struct config *config, struct list_head *remarks);

/* Once the exports are there, too: warns of those that are for clients with TLS, if there is none anywhere. */
void listening_look_for_tls(void);

void listening_free(void);

#endif
