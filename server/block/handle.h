/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that may block: their `handle` runs on the I/O pool, for a bounded
 * number of requests of a disk at a time, so that one slow disk leaves threads to others.
 */
#ifndef BLOCK_HANDLE_H
#define BLOCK_HANDLE_H

/* Requests of one disk, on one reactor, that are handled at a time. */
#define HANDLE_MOST 16

struct pool;
struct request;

/* Where they run; before the first request. */
void handle_init(struct pool *pool);

/* Has the driver handle REQUEST. */
void handle_start(struct request *request);

#endif
