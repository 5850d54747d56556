/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server waits for at its end.  Disks may have data to make durable: it
 * waits for them, and names them.  Modules whose init or exit doesn't return
 * have none: it waits for them for a time.
 */
#ifndef SERVER_ENDING_H
#define SERVER_ENDING_H

/* How long is waited before anything is said. */
void ending_init(unsigned seconds);

/* The end was asked for. */
void ending_begin(void);

/* Nothing is waited for any more.  Harmless if it has never begun. */
void ending_over(void);

#endif
