/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls to a running server over its control socket; see platter-control(7). */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include <jansson.h>
#include <stdbool.h>

/* What platterctl exits with. */
enum {
	CALL_OK = 0,
	CALL_REFUSED = 1,     /* the server says no */
	CALL_USAGE = 2,       /* the command line is wrong */
	CALL_UNREACHABLE = 3, /* no server answers */
};

/* The socket of the server to talk to; NULL: the default one. */
void call_set_socket(const char *path);

/* Whether a server answers; silent. */
bool call_is_possible(void);

/*
 * Calls METHOD with PARAMS, which it takes; NULL: none.  CALL_OK, and the
 * answer in *RESULT, which is the caller's; otherwise what is wrong was printed.
 */
int call_method(const char *method, json_t *params, json_t **result);

/*
 * Calls METHOD, which streams, and has EACH see every object that comes.  Ends
 * when the server does.
 */
int call_stream(const char *method, json_t *params, void (*each)(const json_t *object));

#endif
