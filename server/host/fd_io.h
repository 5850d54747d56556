/* SPDX-License-Identifier: BSD-2-Clause */
/* What platter_fd_io() needs of the daemon. */
#ifndef HOST_FD_IO_H
#define HOST_FD_IO_H

struct pool;
struct reactor;

/* Where operations go that block; before the first one. */
void fd_io_init(struct pool *pool);

/* The end of a turn's dispatch: calls `done` of what was finished at once. */
void fd_io_finish(struct reactor *reactor);

/* The end of a turn: what was dispatched goes to the ring, and batches of writes to the pool. */
void fd_io_start(struct reactor *reactor);

#endif
