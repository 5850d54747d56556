/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells those who watch what has happened; see platter-control(7).  Any thread. */
#ifndef CONTROL_EVENT_H
#define CONTROL_EVENT_H

struct disk;

/* WHAT has happened to the thing that is called NAME. */
void event_tell(const char *what, const char *name);

/* EVENTS, PLATTER_EVENT_*, of DISK. */
void event_media(const struct disk *disk, unsigned events);

#endif
