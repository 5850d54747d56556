/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of exports, as libnbd takes them (doc/uri.md beside the specification):
 *   nbd://[USER@]HOST[:PORT]/[EXPORT]       nbds:// with TLS
 *   nbd+unix:///[EXPORT]?socket=PATH        nbds+unix://
 * with the parameters tls-certificates, tls-psk-file, tls-verify-peer and tls-hostname.
 */
#ifndef CLIENT_URI_H
#define CLIENT_URI_H

#include <stdbool.h>

struct problem;

/* All strings are its own. */
struct uri {
	bool tls;
	char *host;         /* a name or a number; NULL: a unix socket */
	char *port;         /* a number or a service's name */
	char *socket;       /* its path; NULL: TCP */
	char *export;       /* "": the server's default */
	char *user;         /* the identity of a pre-shared key; NULL: none */
	char *certificates; /* a directory, NULL */
	char *psk;          /* a file of keys, NULL */
	char *hostname;     /* that the certificate has to have; NULL: the host's */
	bool trusts_any;    /* tls-verify-peer=false: whatever the certificate */
};

int uri_parse(struct uri *uri, const char *text, struct problem *problem);

/* What names the export and nothing else, in one way for all spellings; to be freed.  NULL: no memory. */
char *uri_canonical(const struct uri *uri);

/* Half-built ones, too. */
void uri_free(struct uri *uri);

#endif
