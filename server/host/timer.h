/* SPDX-License-Identifier: BSD-2-Clause */
/* What platter_timer_start() needs of the daemon. */
#ifndef HOST_TIMER_H
#define HOST_TIMER_H

struct disk_io;

/*
 * For disk_init(): stops what is armed in IO, on its reactor.  A timer's memory
 * is free only when the engine has given it back: returns how many it hasn't.
 */
unsigned timer_stop_all(struct disk_io *io);

#endif
