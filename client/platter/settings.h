/* SPDX-License-Identifier: BSD-2-Clause */
/* What is to be attached, and how: the same keys on the command line, in files and in the state that is kept. */
#ifndef CLIENT_SETTINGS_H
#define CLIENT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/platter/problem.h"
#include "client/platter/uri.h"

#define SETTINGS_MOST_CONNECTIONS 16
#define SETTINGS_MOST_NAME 64        /* bytes */
#define SETTINGS_FOR_EVER UINT64_MAX /* of a time */

struct settings {
	char *name;              /* letters, digits and . _ - ; NULL before settings_complete() */
	char *uri_text;          /* as it was written; NULL: none */
	struct uri uri;          /* with the TLS keys worked in, after settings_complete() */
	int device;              /* the number of a device; -1: any */
	bool read_only;
	unsigned connections;    /* at most; 0: as many as are of use */
	uint64_t timeout;        /* seconds that a request may take before its connection is given up; never 0 */
	uint64_t dead_timeout;   /* seconds that requests wait for a server to come back */
	char *certificates, *psk, *hostname; /* before they are worked in; NULL */
	bool trusts_any;
};

/* The defaults. */
void settings_init(struct settings *settings);
void settings_free(struct settings *settings);

/* Sets KEY, the name of a long option of `platter attach`; VALUE NULL: it has none. */
int settings_set(struct settings *settings, const char *key, const char *value, struct problem *problem);

/* Whether KEY is one that needs no value. */
bool settings_is_flag(const char *key);

/* KEY's value as settings_set() would take it: NULL, it has the default, or there is no memory; to be freed. */
char *settings_get(const struct settings *settings, const char *key);

/* All keys; NULL is behind the last. */
extern const char *const settings_keys[];

/* When all are set: parses the URI, and finds a name where none was given. */
int settings_complete(struct settings *settings, struct problem *problem);

/* Whether NAME can be one of a device. */
bool settings_is_name(const char *name);

#endif
