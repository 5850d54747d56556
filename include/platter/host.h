/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host does for drivers: file I/O and timers on its engine, and the log.
 * Unless it says otherwise it is called inside submit or `done`, on that reactor.
 */
#ifndef PLATTER_HOST_H
#define PLATTER_HOST_H

#include <platter/disk.h>

/* Modules call what is declared here. */
#pragma GCC visibility push(default)

enum platter_fd_op {
	PLATTER_FD_READ = 0,
	PLATTER_FD_WRITE = 1,
	PLATTER_FD_SYNC = 2,      /* fdatasync */
	PLATTER_FD_FALLOCATE = 3, /* with MODE; regular files and block devices */
	PLATTER_FD_DISCARD = 4,   /* block devices: BLKDISCARD */
	PLATTER_FD_ZEROOUT = 5,   /* block devices: BLKZEROOUT */
	PLATTER_FD_WILLNEED = 6,  /* posix_fadvise: read ahead */
	PLATTER_FD_EXTENTS = 7,   /* SEEK_DATA and SEEK_HOLE, for REQUEST, whose offset the range's is */
};

/* READ, WRITE: FD was opened with O_DIRECT. */
#define PLATTER_FD_DIRECT (1u << 0)
/*
 * READ, WRITE: a file on a file system of this machine, whose page cache takes writes without waiting for
 * anybody, as a rule.  The host then writes at once, until a write turns out to take long.
 */
#define PLATTER_FD_LOCAL (1u << 1)
/* READ: a file on a file system that may wait for another machine or a program: what isn't cached takes a thread. */
#define PLATTER_FD_REMOTE (1u << 2)
/*
 * READ, WRITE with DIRECT: an error is told as it is.  Without this what failed is tried once more by itself: the kernel
 * may have merged it with something that fails.
 */
#define PLATTER_FD_ONCE (1u << 3)
/* READ, WRITE: REQUEST, of which it is all, is told how far it came, if it fails. */
#define PLATTER_FD_PROGRESS (1u << 4)

/*
 * One operation on a file descriptor, usually in the request's data.  The
 * caller fills it in and leaves it alone until DONE, which runs on the same
 * reactor, never inside platter_fd_io().  A disk isn't removed before.
 */
struct platter_fd_io {
	int fd;
	uint16_t op;      /* enum platter_fd_op */
	uint16_t flags;   /* PLATTER_FD_* */
	int mode;         /* FALLOCATE: FALLOC_FL_* */
	uint32_t iovcnt;
	const struct iovec *iov;
	uint64_t offset;
	uint64_t length;  /* READ, WRITE: the sum of the segments */
	/* For EXTENTS and PLATTER_FD_PROGRESS; of others it means nothing. */
	struct platter_request *request;
	/* RESULT: 0 or -errno; for READ the bytes read, fewer than LENGTH only at the file's end. */
	void (*done)(struct platter_fd_io *io, int64_t result);
	void *host[16];   /* the host's own */
};

/* Does IO by whatever way suits the file and the operation: at once, by the ring or on a worker thread. */
void platter_fd_io(struct platter_disk *disk, struct platter_fd_io *io);

/* A timer, usually in a request's data; it stays in place until DONE, which runs once, on the reactor that started it. */
struct platter_timer {
	void (*done)(struct platter_timer *timer);
	void *host[12];   /* the host's own */
};

/*
 * Has DONE called after at least NANOSECONDS, on behalf of DISK.  A timer should end before the request for which it was
 * started: those that a removed disk leaves behind are stopped, with a complaint, and their DONE is never called.
 */
void platter_timer_start(struct platter_disk *disk, struct platter_timer *timer, uint64_t nanoseconds);

/* What a message is worth, as syslog has it. */
enum platter_log_level {
	PLATTER_LOG_ERROR = 3,
	PLATTER_LOG_WARNING = 4,
	PLATTER_LOG_NOTICE = 5, /* this and what is above is always logged */
	PLATTER_LOG_INFO = 6,   /* with --verbose; `platterctl dmesg` shows it in any case */
	PLATTER_LOG_DEBUG = 7,  /* with --verbose given twice */
};

/*
 * A line in the daemon's log: begin it with the name of the module or disk.  What is longer than a kilobyte is
 * cut; a newline at the end is left away, and other control characters become blanks.  Any thread.
 */
void platter_log(enum platter_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#pragma GCC visibility pop

#endif
