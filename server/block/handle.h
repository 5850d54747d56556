/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that may block: their `handle` runs on the I/O pool, for a bounded
 * number of requests of a disk at a time, so that one slow disk leaves threads to others.
 */
#ifndef BLOCK_HANDLE_H
#define BLOCK_HANDLE_H

struct pool;
struct request;

/* Where they run; before the first request. */
void handle_init(struct pool *pool);

/* Has the driver handle REQUEST, now or when its turn comes. */
void handle_start(struct request *request);

/* REQUEST is back: the next one's turn.  Its own thread, before it is finished. */
void handle_back(struct request *request);

#endif
