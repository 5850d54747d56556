/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies: a finished request's header, and what errors are called on the wire. */
#ifndef NBD_REPLY_H
#define NBD_REPLY_H

#include <stdint.h>

struct request;

/* 0 or a negative errno as an NBD error. */
uint32_t reply_error(int error);

/* Fills in the header of REQUEST, which is done. */
void reply_build(struct request *request);

#endif
