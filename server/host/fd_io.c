/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File I/O for drivers.  What is in the page cache is read at once, the rest
 * by the ring; O_DIRECT goes to the ring.  Buffered writes are tried at once
 * where that is only a copy, as a rule; when one took long (the kernel
 * throttles whoever dirties memory faster than the disk can write it), the
 * next ones go to the I/O pool for a while, a batch per file, because the file
 * system takes one writer at a time.  So does whatever else may block.
 */
#include "server/host/fd_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <platter/host.h>

#include "common/clock.h"

#include "server/block/disk.h"
#include "server/reactor.h"

/* Threads that one disk may keep busy on each reactor, besides its batch of writes. */
#define MOST_OF_A_DISK 4
/* Reads and writes above this copy for too long to hold up a reactor. */
#define MOST_AT_ONCE (1u << 20)
/* A write that took longer waited for something, and wasn't only preempted. */
#define SLOW_WRITE_NS 5000000u
/* What took longer to fail isn't tried again. */
#define SLOW_FAILURE_NS 1000000000u
/* How long writes then go to the pool. */
#define SLOW_PERIOD_NS 200000000u

/* In platter_fd_io.host. */
struct host_side {
	struct list_head link;  /* in a batch, or in the reactor's `transfers` or `finished` */
	struct reactor *reactor;
	struct disk_io *disk;   /* its part on this reactor */
	int64_t result;         /* bytes so far, then what `done` gets */
	struct iovec piece;     /* the rest of a segment of which a part is done */
	uint64_t started;       /* by the ring: CLOCK_MONOTONIC, ns */
	union {
		struct engine_op op;
		struct pool_job job;
	} by;
};

_Static_assert(sizeof(struct host_side) <= sizeof(((struct platter_fd_io *)NULL)->host), "the host's part is too small");

static struct pool *io_pool;

void fd_io_init(struct pool *pool)
{
	io_pool = pool;
}

static struct host_side *host_of(struct platter_fd_io *io)
{
	return (struct host_side *)(void *)io->host;
}

static struct platter_fd_io *io_of(struct host_side *host)
{
	return container_of((void **)(void *)host, struct platter_fd_io, host[0]);
}

/* The last that is done with it: after `done` its memory isn't ours any more. */
static void finish(struct host_side *host)
{
	struct disk_io *disk = host->disk;

	io_of(host)->done(io_of(host), host->result);
	disk->operations--;
}

/* What is left to read or write: the rest of a segment, or all the segments from one on. */
static const struct iovec *rest(struct platter_fd_io *io, unsigned *count)
{
	struct host_side *host = host_of(io);
	uint64_t skip = (uint64_t)host->result;
	unsigned i = 0;

	while (i < io->iovcnt && skip >= io->iov[i].iov_len)
		skip -= io->iov[i++].iov_len;
	if (skip == 0) {
		*count = io->iovcnt - i;
		return &io->iov[i];
	}
	host->piece = (struct iovec){ (char *)io->iov[i].iov_base + skip, io->iov[i].iov_len - skip };
	*count = 1;
	return &host->piece;
}

/* Adds what a read or write brought.  True when it is over: then host->result is final. */
static bool advance(struct platter_fd_io *io, int64_t result)
{
	struct host_side *host = host_of(io);

	if (result == -EINTR || result == -EAGAIN)
		return false;
	if (result == 0 && io->op == PLATTER_FD_WRITE)
		result = -ENOSPC;
	if (result < 0) {
		if (io->flags & PLATTER_FD_PROGRESS)
			platter_request_progress(io->request, (uint64_t)host->result);
		host->result = result;
		return true;
	}
	host->result += result;
	if (result == 0 || (uint64_t)host->result == io->length) {
		if (io->op == PLATTER_FD_WRITE && host->result > 0)
			host->result = 0;
		return true;
	}
	return false;
}

/* Reads and writes until it is over; blocks. */
static void transfer(struct platter_fd_io *io)
{
	unsigned count;
	ssize_t result;

	do {
		const struct iovec *iov = rest(io, &count);
		off_t offset = (off_t)(io->offset + (uint64_t)host_of(io)->result);

		result = io->op == PLATTER_FD_READ ? preadv2(io->fd, iov, (int)count, offset, 0) :
						     pwritev2(io->fd, iov, (int)count, offset, 0);
	} while (!advance(io, result < 0 ? -errno : result));
}

/* Where data begins at or behind AT, END at most; -1: that can't be told. */
static off_t seek_data(int fd, off_t at, off_t end)
{
	off_t data = lseek(fd, at, SEEK_DATA);
	struct stat status;

	if (data >= 0)
		return data < end ? data : end;
	/* None up to the file's end, which may have moved: what isn't there can't be called zeroes. */
	return errno == ENXIO && fstat(fd, &status) == 0 && status.st_size >= end ? end : -1;
}

/* The file system's word; where it has none, it is data. */
static void tell_extents(const struct platter_fd_io *io)
{
	off_t at = (off_t)io->offset, end = (off_t)(io->offset + io->length);
	bool enough = false;

	while (at < end && !enough) {
		off_t data = seek_data(io->fd, at, end);
		off_t hole = data < 0 ? -1 : lseek(io->fd, data, SEEK_HOLE);

		if (data > at)
			enough = platter_request_extent(io->request, (uint64_t)(data - at), PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO);
		at = data > at ? data : at;
		if (hole <= at || hole > end)
			hole = end;
		if (!enough && at < end)
			enough = platter_request_extent(io->request, (uint64_t)(hole - at), 0);
		at = hole;
	}
}

static int64_t run_blocking(const struct platter_fd_io *io)
{
	uint64_t range[2] = { io->offset, io->length };
	int result;

	switch (io->op) {
	case PLATTER_FD_SYNC:
		result = fdatasync(io->fd);
		break;
	case PLATTER_FD_FALLOCATE:
		do {
			result = fallocate(io->fd, io->mode, (off_t)io->offset, (off_t)io->length);
		} while (result < 0 && errno == EINTR);
		break;
	case PLATTER_FD_DISCARD:
		result = ioctl(io->fd, BLKDISCARD, range);
		break;
	case PLATTER_FD_ZEROOUT:
		result = ioctl(io->fd, BLKZEROOUT, range);
		break;
	case PLATTER_FD_EXTENTS:
		tell_extents(io);
		return 0;
	case PLATTER_FD_WILLNEED:
		return -posix_fadvise(io->fd, (off_t)io->offset, (off_t)io->length, POSIX_FADV_WILLNEED);
	default:
		return -EINVAL;
	}
	return result < 0 ? -errno : 0;
}

static void single_run(struct pool_job *job)
{
	struct host_side *host = container_of(job, struct host_side, by.job);
	struct platter_fd_io *io = io_of(host);

	if (io->op == PLATTER_FD_READ || io->op == PLATTER_FD_WRITE)
		transfer(io);
	else
		host->result = run_blocking(io);
}

static void pool_start(struct host_side *host);

static void single_back(struct engine_message *message)
{
	struct host_side *host = container_of(message, struct host_side, by.job.message);
	struct disk_io *disk = host->disk;
	struct list_head *next = list_pop(&disk->waiting);

	disk->running--;
	if (next)
		pool_start(container_of(next, struct host_side, link));
	finish(host);
}

static void pool_start(struct host_side *host)
{
	host->disk->running++;
	host->by.job = (struct pool_job){ .run = single_run, .engine = host->reactor->engine, .message = { .run = single_back } };
	pool_run(io_pool, &host->by.job);
}

/* A disk that hangs takes only its share of the pool. */
static void to_pool(struct platter_fd_io *io)
{
	struct host_side *host = host_of(io);

	if (host->disk->running < MOST_OF_A_DISK)
		pool_start(host);
	else
		list_add_tail(&host->link, &host->disk->waiting);
}

static void batch_run(struct pool_job *job)
{
	struct disk_io *disk = container_of(job, struct disk_io, job);
	struct list_head *node;

	list_for_each(node, &disk->writes_running)
		transfer(io_of(container_of(node, struct host_side, link)));
}

static void batch_start(struct disk_io *disk, struct reactor *reactor);

static void batch_back(struct engine_message *message)
{
	struct disk_io *disk = container_of(message, struct disk_io, job.message);
	struct reactor *reactor = reactor_self();
	struct list_head finished;
	struct list_head *node;

	list_init(&finished);
	list_splice_tail_init(&disk->writes_running, &finished);
	/* The next batch runs while this one is answered. */
	batch_start(disk, reactor);
	while ((node = list_pop(&finished))) {
		struct host_side *host = container_of(node, struct host_side, link);

		finish(host);
	}
}

static void batch_start(struct disk_io *disk, struct reactor *reactor)
{
	if (list_empty(&disk->writes_waiting) || !list_empty(&disk->writes_running))
		return;
	list_splice_tail_init(&disk->writes_waiting, &disk->writes_running);
	disk->job = (struct pool_job){ .run = batch_run, .engine = reactor->engine, .message = { .run = batch_back } };
	pool_run(io_pool, &disk->job);
}

static void to_batch(struct platter_fd_io *io, struct disk_io *disk)
{
	struct host_side *host = host_of(io);

	list_add_tail(&host->link, &disk->writes_waiting);
	if (list_empty(&disk->commit))
		list_add_tail(&disk->commit, &host->reactor->commit);
}

/*
 * The kernel, too, merges neighbours that come together, and fails all of them
 * for one.  In a batch, one after the other, each has an error of its own.
 * What failed slowly isn't tried again: that would take as long again, for each.
 */
static bool may_be_a_neighbours(struct platter_fd_io *io, int error)
{
	const struct host_side *host = host_of(io);

	if ((io->flags & (PLATTER_FD_DIRECT | PLATTER_FD_ONCE)) != PLATTER_FD_DIRECT ||
	    clock_ns() - host->started > SLOW_FAILURE_NS)
		return false;
	return error == -EIO || error == -ENODATA || error == -EREMOTEIO || error == -EILSEQ || error == -ENOSPC;
}

static void ring_transfer(struct platter_fd_io *io);

/* Starts a read or write when this turn's replies are on their way: a submission to a disk takes the core for long. */
static void to_ring(struct platter_fd_io *io)
{
	struct host_side *host = host_of(io);

	list_add_tail(&host->link, &host->reactor->transfers);
}

static void ring_done(struct engine_op *op, int result)
{
	struct host_side *host = container_of(op, struct host_side, by.op);
	struct platter_fd_io *io = io_of(host);

	if (result == -EAGAIN) /* the ring didn't try: a thread may wait */
		to_pool(io);
	else if (result < 0 && may_be_a_neighbours(io, result))
		to_batch(io, host->disk);
	else if (advance(io, result))
		finish(host);
	else
		ring_transfer(io);
}

static void ring_transfer(struct platter_fd_io *io)
{
	struct host_side *host = host_of(io);
	struct engine *engine = host->reactor->engine;
	uint64_t offset = io->offset + (uint64_t)host->result;
	unsigned count;
	const struct iovec *iov = rest(io, &count);

	host->by.op.done = ring_done;
	host->started = host->reactor->block.now;
	if (io->op == PLATTER_FD_READ)
		engine_readv(engine, &host->by.op, io->fd, iov, count, offset, 0);
	else
		engine_writev(engine, &host->by.op, io->fd, iov, count, offset, 0);
}

/* From the page cache at once; what isn't there comes by the ring. */
static void read_cached(struct platter_fd_io *io)
{
	struct host_side *host = host_of(io);
	ssize_t result = preadv2(io->fd, io->iov, (int)io->iovcnt, (off_t)io->offset, RWF_NOWAIT);

	engine_count_call(host->reactor->engine);
	if (result > 0)
		host->result = result;
	/* A short count is a hole in the cache or the file's end: only a waiting read can tell. */
	if (result > 0 && (uint64_t)result == io->length)
		list_add_tail(&host->link, &host->reactor->finished);
	else if (io->flags & PLATTER_FD_REMOTE)
		to_pool(io);
	else
		to_ring(io);
}

/* Writes keep their order: none overtakes those that went to the pool. */
static bool may_write_now(const struct disk_io *disk, const struct platter_fd_io *io, uint64_t now)
{
	return (io->flags & PLATTER_FD_LOCAL) && io->length <= MOST_AT_ONCE && list_empty(&disk->writes_waiting) &&
	       list_empty(&disk->writes_running) && now >= disk->slow_until;
}

static void write_now(struct platter_fd_io *io, struct disk_io *disk, uint64_t start)
{
	struct host_side *host = host_of(io);
	ssize_t result = pwritev2(io->fd, io->iov, (int)io->iovcnt, (off_t)io->offset, 0);
	uint64_t end = clock_ns();

	engine_count_call(host->reactor->engine);
	engine_transferred(host->reactor->engine);
	if (end - start > SLOW_WRITE_NS)
		disk->slow_until = end + SLOW_PERIOD_NS;
	/* What is left after a short write meets its error on the pool. */
	if (advance(io, result < 0 ? -errno : result))
		list_add_tail(&host->link, &host->reactor->finished);
	else
		to_batch(io, disk);
}

static void start_write(struct platter_fd_io *io, struct disk_io *disk)
{
	uint64_t now = clock_ns();

	if (may_write_now(disk, io, now))
		write_now(io, disk, now);
	else
		to_batch(io, disk);
}

void platter_fd_io(struct platter_disk *disk_side, struct platter_fd_io *io)
{
	struct disk *disk = (struct disk *)disk_side;
	struct host_side *host = host_of(io);

	host->reactor = reactor_self();
	host->disk = &disk->io[host->reactor->index];
	host->disk->operations++;
	host->result = 0;
	if (io->op > PLATTER_FD_WRITE) {
		to_pool(io);
	} else if (io->flags & PLATTER_FD_DIRECT) {
		to_ring(io);
	} else if (io->op == PLATTER_FD_WRITE) {
		start_write(io, host->disk);
	} else if (io->length > MOST_AT_ONCE) {
		to_pool(io);
	} else {
		read_cached(io);
	}
}

void fd_io_finish(struct reactor *reactor)
{
	struct list_head finished;
	struct list_head *node;

	/* What is finished at once anew has its end in the next turn: a long chain doesn't hold up the others. */
	list_init(&finished);
	if (!list_empty(&reactor->finished))
		block_look_at_clock(&reactor->block);
	list_splice_tail_init(&reactor->finished, &finished);
	while ((node = list_pop(&finished))) {
		struct host_side *host = container_of(node, struct host_side, link);

		finish(host);
	}
}

void fd_io_start(struct reactor *reactor)
{
	struct list_head *node;

	while ((node = list_pop(&reactor->transfers)))
		ring_transfer(io_of(container_of(node, struct host_side, link)));
	while ((node = list_pop(&reactor->commit)))
		batch_start(container_of(node, struct disk_io, commit), reactor);
}
