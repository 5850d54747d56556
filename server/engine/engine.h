/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: the one door to the operating system's asynchronous I/O.
 *
 * One engine belongs to one thread (its reactor's).  Every operation is a
 * struct engine_op inside its owner: the owner keeps it, and every buffer and
 * descriptor that it names, untouched until `done` has been called; that
 * happens exactly once, on the engine's thread, inside engine_wait().  Results
 * are what the system call would return: a count, or -errno.
 *
 * Only engine_post() may be called from other threads.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct engine;

struct engine_op {
	void (*done)(struct engine_op *op, int result);
	/* The engine's own, for what must outlive the call. */
	union {
		struct msghdr message;
		struct {
			long long seconds, nanoseconds;
		} timeout;
	} host;
};

/* A message to an engine's thread: RUN is called there, in the order of the posts of one thread. */
struct engine_message {
	void (*run)(struct engine_message *message);
	struct engine_message *next;
};

/* What an engine polls for before it sleeps. */
enum engine_polling {
	ENGINE_POLL_ALL,         /* everything */
	ENGINE_POLL_ALL_ADAPTED, /* likewise, but only as long as the next event usually comes */
	ENGINE_POLL_TRANSFERS,   /* files that are being read or written and, half as long, what follows on that, as long as that pays */
};

struct engine_config {
	/* How much is set aside for a turn's usual traffic; more is only slower.  0: the engine's own choice. */
	unsigned starts;        /* operations that begin in it */
	unsigned ends;          /* operations that end in it */
	uint64_t poll_ns;       /* how long at most; 0: it doesn't poll */
	enum engine_polling polling;
};

/* What the engine's thread did, all since its start. */
struct engine_stats {
	uint64_t system_calls;  /* made by the engine's thread, but for empty polls */
	uint64_t empty_polls;   /* looks, while it polled, at sockets that had nothing */
	uint64_t submitted;     /* operations */
	uint64_t waits;         /* turns of engine_wait() */
	uint64_t sleeps;        /* of which went to sleep in the kernel */
};

/*
 * Called on the thread that will own the engine.  -ENOSYS or -EPERM when the
 * system has no such interface or refuses it: see engine_refusal().
 */
int engine_create(struct engine **ret, const struct engine_config *config);

/* What is in flight ends unheard, and nothing may be posted any more.  NULL is allowed. */
void engine_destroy(struct engine *engine);

/* A sentence for people on why engine_create() failed with ERROR and what to do. */
const char *engine_refusal(int error);

/* The kind in use ("io_uring, deferred task work", ...), for the log. */
const char *engine_name(const struct engine *engine);

/*
 * One turn: submits everything new, waits until something has happened
 * (unless BUSY), runs the messages and calls `done` of what is complete.
 */
void engine_wait(struct engine *engine, bool busy);

/* From now on *NOW is the time (CLOCK_MONOTONIC, ns) when the last wait was over, before anything was called. */
void engine_keep_time(struct engine *engine, uint64_t *now);

const struct engine_stats *engine_stats(const struct engine *engine);

/* For system calls that others make on the engine's thread, so that the count stays honest. */
void engine_count_call(struct engine *engine);

/* A file has been written to by others on the engine's thread: polled for is what may follow on that as on writes of its own. */
void engine_transferred(struct engine *engine);

/* Sockets, in blocking mode: a wait is the engine's.  The result of accept is a new descriptor with CLOEXEC. */
void engine_accept(struct engine *engine, struct engine_op *op, int fd);
void engine_recv(struct engine *engine, struct engine_op *op, int fd, void *buffer, size_t size);
void engine_recvv(struct engine *engine, struct engine_op *op, int fd, struct iovec *iov, unsigned count);
/*
 * The result may be less than everything; the iovec array stays in place until `done`.  FLAGS: MSG_WAITALL, to be called back
 * once for what takes the kernel several tries; some kinds of socket refuse that.
 */
void engine_sendv(struct engine *engine, struct engine_op *op, int fd, struct iovec *iov, unsigned count, int flags);

/* Files.  FLAGS: RWF_*. */
void engine_readv(struct engine *engine, struct engine_op *op, int fd, const struct iovec *iov, unsigned count,
		  uint64_t offset, int flags);
void engine_writev(struct engine *engine, struct engine_op *op, int fd, const struct iovec *iov, unsigned count,
		   uint64_t offset, int flags);
void engine_fdatasync(struct engine *engine, struct engine_op *op, int fd);
void engine_fallocate(struct engine *engine, struct engine_op *op, int fd, int mode, uint64_t offset, uint64_t length);

/* Once, when any of EVENTS (POLLIN, POLLRDHUP, ...) is there; the result is the events. */
void engine_poll(struct engine *engine, struct engine_op *op, int fd, unsigned events);
/* Once, after NANOSECONDS; the result is 0. */
void engine_timer(struct engine *engine, struct engine_op *op, uint64_t nanoseconds);
/*
 * Asks for an early end of OP, which must be in flight, and no read or write of a file; its `done` comes all the same,
 * perhaps with -ECANCELED.
 */
void engine_cancel(struct engine *engine, struct engine_op *op);

/* Any thread: has MESSAGE run on the engine's thread, behind those posted before.  The message stays in place until then. */
void engine_post(struct engine *engine, struct engine_message *message);

#endif
