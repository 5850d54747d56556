/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells the service manager how the server is, see sd_notify(3): ready, reloading,
 * stopping, what it serves to how many, and that its reactors get on.  Without one,
 * or built without libsystemd, all of this does nothing.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* With running reactors: begins to look at them. */
void notify_start(void);

/* Clients are let in. */
void notify_ready(void);

/* A reload begins, and has ended, well or not. */
void notify_reloading(void);
void notify_reloaded(void);

/* The end was asked for; it may take its time. */
void notify_stopping(void);

/* It is there.  Harmless where nothing has begun. */
void notify_end(void);

#endif
