/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods: what an administrator may ask for, by name; see platter-control(7). */
#ifndef CONTROL_METHOD_H
#define CONTROL_METHOD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "server/block/error.h"

struct patience;
struct peer;

/* One call. */
struct call {
	struct peer *peer;
	json_t *params;   /* an object */
	json_t *result;   /* set by the method; NULL: an empty object */
	struct platter_error error;
	char *whole;      /* why not, when that is more than `error` has room for; freed with the call */
};

struct method {
	const char *name;
	bool changes;                    /* only for those who may change things */
	bool plain;                      /* takes no parameters */
	/* 0, or -errno with call->error. */
	int (*run)(struct call *call);
	/* Afterwards, when it was answered: goes on sending; the connection ends with it.  NULL for most. */
	void (*stream)(struct call *call);
};

/* Ended by one without a name. */
extern const struct method list_methods[], change_methods[], queue_methods[], mark_methods[], module_methods[], stats_methods[],
	watch_methods[];

/* Does what LINE, a request, says, and answers PEER; false when PEER hears no more. */
bool method_call(struct peer *peer, const char *line, size_t length);

/* The name of an errno: unlike its number, that is stable. */
const char *method_code(int code);

/* An answer that says what is wrong with a request, whose ID may be NULL; takes none of them. */
json_t *method_error(const json_t *id, int code, const char *text);

/* A string of TEXT, whatever bytes it holds. */
json_t *json_text(const char *text);

/*
 * The patience of a call that waits up to DRAIN seconds for users to leave, or
 * until its peer has gone: nobody wants it any more.  -EINVAL, with the reason.
 */
int method_patience(struct call *call, json_int_t drain, struct patience *ret);

/* Unpacks call->params by jansson's FORMAT, which ends in "!"; -EINVAL, with the reason. */
int method_params(struct call *call, const char *format, ...);

#endif
