/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies: what goes out for a finished request, and what errors are called on the wire. */
#ifndef NBD_REPLY_H
#define NBD_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;

/* 0 or a negative errno as an NBD error. */
uint32_t reply_error(int error);

/* What replies a client has negotiated; in request->form. */
enum reply_form {
	REPLY_SIMPLE,
	REPLY_STRUCTURED,
	REPLY_EXTENDED, /* with extended headers */
};

/* Whether the answer to REQUEST, which is done, needs its data. */
bool reply_has_data(const struct request *request);

/*
 * Fills in the answer to REQUEST, which is done: its header, and, where there is no data, a text for people in its
 * segments.
 */
void reply_build(struct request *request);

/* For context.c: REQUEST's answer will be of COUNT contexts; -ENOMEM. */
int reply_begin_status(struct request *request, unsigned count);

/* The next one of them is ID: COUNT of DESCRIPTORS, which stay in place until they are sent; -ENOMEM. */
int reply_put_status(struct request *request, uint32_t id, void *descriptors, unsigned count, bool last);

#endif
