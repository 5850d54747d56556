/* SPDX-License-Identifier: BSD-2-Clause */
/* The credentials that connections use which begin TLS now: certificates and keys.  On any thread. */
#ifndef NET_CREDENTIALS_H
#define NET_CREDENTIALS_H

#include <stdbool.h>

struct platter_error;
struct ssl_st; /* OpenSSL's SSL */
struct tls_files;

/* Has new connections use those in FILES, now or instead of those before.  On failure all stays as it was. */
int credentials_load(const struct tls_files *files, struct platter_error *error);
/* Likewise from the files of the last time, whose names are still there.  -ENOENT: there was none.  May block. */
int credentials_reload(struct platter_error *error);
/* Whether there are any. */
bool credentials_exist(void);
void credentials_forget(void);

/* A connection with them, to be freed by SSL_free(); NULL: there are none, or no memory. */
struct ssl_st *credentials_use(void);

#endif
