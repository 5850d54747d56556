/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that asks drivers, as often as they wish, whether a disk's size or medium has changed. */
#ifndef SERVER_DISK_EVENTS_H
#define SERVER_DISK_EVENTS_H

/* -errno.  It calls drivers: disk_events_stop() waits for them. */
int disk_events_start(void);
/* A disk has come that may want to be asked. */
void disk_events_changed(void);
/* Harmless if it wasn't started. */
void disk_events_stop(void);

#endif
