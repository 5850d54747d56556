/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine on io_uring; the only file that knows it. */
#include "server/engine/engine.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/list.h"
#include "server/engine/busy_poll.h"

#define REAP_BATCH 64
#define LOOKS 16

/* In an operation's user_data, where its address leaves the bit free: it is a transfer. */
#define TRANSFER UINT64_C(1)

struct completion {
	struct engine_op *op; /* NULL: a cancellation's own result */
	int result;
};

struct engine {
	struct io_uring ring;
	const char *name;

	uint64_t poll_ns;
	enum engine_polling polling;
	uint64_t poll_now_ns; /* the adapted time */
	unsigned transfers;   /* reads and writes of files under way */
	bool transferred;     /* one has ended since the last wait... */
	uint64_t follow_until; /* ...and so long is what follows on it polled for; ns */
	struct poll_luck transfer_luck, follow_luck;
	bool lucky;           /* so that it polls */
	uint64_t *now;        /* see engine_keep_time(); NULL: nobody wants it */
	uint64_t polled_at;   /* when the last look at the clock was */
	struct busy_poll busy_poll;
	struct engine_stats stats;

	/* Completions taken off the ring early, to make room for submissions. */
	struct completion *stash;
	unsigned stashed, stash_size;

	/* Messages from other threads, newest first; `sleeping` tells them that a wake-up is needed. */
	_Atomic(struct engine_message *) inbox;
	atomic_bool sleeping;
	int wake_fd;
	uint64_t wake_count;
	struct iovec wake_iov;
	struct engine_op wake_op;
};

struct setup_step {
	unsigned flags;
	const char *name;
};

/* Newest first: each step is for kernels that refused the one before. */
static const struct setup_step setup_ladder[] = {
	{ IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	  "io_uring, deferred task work" },
	{ IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	  "io_uring, cooperative task work" },
	{ 0, "io_uring, plain" },
};

static int ring_setup(struct engine *engine, const struct engine_config *config)
{
	unsigned submissions = config->starts ? config->starts : 256;
	int result = -EINVAL;

	for (size_t i = 0; i < sizeof(setup_ladder) / sizeof(setup_ladder[0]); i++) {
		struct io_uring_params params = {
			.flags = setup_ladder[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = config->ends ? config->ends : 4096,
		};

		result = io_uring_queue_init_params(submissions, &engine->ring, &params);
		if (result == 0) {
			engine->name = setup_ladder[i].name;
			return 0;
		}
		if (result != -EINVAL)
			return result;
	}
	return result;
}

/* Out of memory for bookkeeping of I/O that already happened: nothing can be answered truthfully any more. */
static void stash_push(struct engine *engine, struct completion completion)
{
	if (engine->stashed == engine->stash_size) {
		engine->stash_size = engine->stash_size ? engine->stash_size * 2 : REAP_BATCH;
		engine->stash = realloc(engine->stash, engine->stash_size * sizeof(*engine->stash));
		if (!engine->stash)
			abort();
	}
	engine->stash[engine->stashed++] = completion;
}

static unsigned ring_take(struct engine *engine, struct completion *completions, unsigned most)
{
	struct io_uring_cqe *entries[REAP_BATCH];
	unsigned count = io_uring_peek_batch_cqe(&engine->ring, entries, most);

	for (unsigned i = 0; i < count; i++) {
		uint64_t data = io_uring_cqe_get_data64(entries[i]);

		if (data & TRANSFER) {
			engine->transfers--;
			engine->transferred = true;
		}
		completions[i] = (struct completion){ (struct engine_op *)(uintptr_t)(data & ~TRANSFER), entries[i]->res };
	}
	io_uring_cq_advance(&engine->ring, count);
	return count;
}

static void stash_completions(struct engine *engine)
{
	struct completion completions[REAP_BATCH];
	unsigned count;

	while ((count = ring_take(engine, completions, REAP_BATCH)) > 0)
		for (unsigned i = 0; i < count; i++)
			stash_push(engine, completions[i]);
}

/* A free submission entry; its user_data is set after it was prepared. */
static struct io_uring_sqe *ring_sqe(struct engine *engine)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&engine->ring))) {
		int result = io_uring_submit(&engine->ring);

		engine->stats.system_calls++;
		/* The kernel takes nothing new while completions wait for room. */
		if (result == -EBUSY || result == -EAGAIN)
			stash_completions(engine);
	}
	engine->stats.submitted++;
	return sqe;
}

static void wake_done(struct engine_op *op, int result);

static void wake_arm(struct engine *engine)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_readv(sqe, engine->wake_fd, &engine->wake_iov, 1, 0);
	io_uring_sqe_set_data(sqe, &engine->wake_op);
}

static void wake_done(struct engine_op *op, int result)
{
	struct engine *engine = container_of(op, struct engine, wake_op);

	if (result != -ECANCELED)
		wake_arm(engine);
}

int engine_create(struct engine **ret, const struct engine_config *config)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int result;

	if (!engine)
		return -ENOMEM;
	engine->poll_ns = engine->poll_now_ns = config->poll_ns;
	engine->polling = config->polling;
	engine->lucky = true;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (engine->wake_fd < 0) {
		result = -errno;
		free(engine);
		return result;
	}
	result = ring_setup(engine, config);
	if (result < 0) {
		close(engine->wake_fd);
		free(engine);
		return result;
	}
	/* Bounds the kernel's own workers: one file's buffered writes would otherwise start dozens that wait for each other. */
	(void)io_uring_register_iowq_max_workers(&engine->ring, (unsigned[]){ 4, 0 });
	engine->wake_iov = (struct iovec){ &engine->wake_count, sizeof(engine->wake_count) };
	engine->wake_op.done = wake_done;
	wake_arm(engine);
	*ret = engine;
	return 0;
}

void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	io_uring_queue_exit(&engine->ring);
	close(engine->wake_fd);
	free(engine->stash);
	free(engine);
}

const char *engine_refusal(int error)
{
	switch (-error) {
	case ENOSYS:
		return "this kernel has no io_uring; Linux 5.15 or later is needed";
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here: allow it with `sysctl kernel.io_uring_disabled=0`, "
		       "or in the container's seccomp profile (io_uring_setup, io_uring_enter, io_uring_register)";
	case ENOMEM:
		return "no memory may be locked for io_uring: raise the limit (LimitMEMLOCK=, ulimit -l)";
	default:
		return "io_uring could not be set up";
	}
}

const char *engine_name(const struct engine *engine)
{
	return engine->name;
}

const struct engine_stats *engine_stats(const struct engine *engine)
{
	return &engine->stats;
}

void engine_count_call(struct engine *engine)
{
	engine->stats.system_calls++;
}

/* Whether there is a transfer to poll for, or what may follow on one. */
static bool has_transfers(const struct engine *engine)
{
	return engine->transfers || engine->transferred || engine->polled_at < engine->follow_until;
}

static bool is_polling(const struct engine *engine)
{
	return engine->poll_ns && (engine->polling != ENGINE_POLL_TRANSFERS || (engine->lucky && has_transfers(engine)));
}

void engine_transferred(struct engine *engine)
{
	engine->transferred = true;
}

static struct poll_luck *luck_of(struct engine *engine)
{
	return engine->transfers ? &engine->transfer_luck : &engine->follow_luck;
}

/* Nothing is left to do: whether it polls for transfers now, or for what follows on them. */
static void try_luck(struct engine *engine)
{
	engine->polled_at = clock_ns();
	if (engine->transferred) {
		engine->transferred = false;
		engine->follow_until = engine->polled_at + engine->poll_ns / 2;
	}
	if (has_transfers(engine))
		engine->lucky = poll_luck_try(luck_of(engine));
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool inbox_empty(struct engine *engine)
{
	return atomic_load_explicit(&engine->inbox, memory_order_relaxed) == NULL;
}

/* Whether the kernel has completions that it posts only when entered. */
static bool kernel_holds_back(struct engine *engine)
{
	return IO_URING_READ_ONCE(*engine->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool event_ready(struct engine *engine)
{
	return io_uring_cq_ready(&engine->ring) || kernel_holds_back(engine) || !inbox_empty(engine);
}

/* Looks for receives that are over, and at what the kernel and other threads have left. */
static bool poll_once(struct engine *engine)
{
	struct completion completion;
	bool ready = false;

	if (busy_poll_try(&engine->busy_poll, &completion.op, &completion.result, &engine->stats)) {
		stash_push(engine, completion);
		return true;
	}
	/* The clock costs more than a look: several looks for each reading, where nothing else is looked at. */
	for (int i = engine->busy_poll.count ? 1 : LOOKS; i && !(ready = event_ready(engine)); i--)
		cpu_relax();
	return ready;
}

static void ring_recv(struct engine *engine, struct engine_op *op, int fd, void *buffer, size_t size)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_recv(sqe, fd, buffer, size, 0);
	io_uring_sqe_set_data(sqe, op);
}

/* Looks until something has come: then true; or it is time to sleep. */
static bool poll_for_a_while(struct engine *engine)
{
	bool transfers = engine->polling == ENGINE_POLL_TRANSFERS;
	uint64_t until = transfers && !engine->transfers ? engine->follow_until : engine->polled_at + engine->poll_now_ns;
	bool ready;

	while (!(ready = poll_once(engine)) && engine->polled_at < until)
		engine->polled_at = clock_ns();
	if (transfers)
		poll_luck_count(luck_of(engine), ready);
	if (engine->polling == ENGINE_POLL_ALL_ADAPTED)
		engine->poll_now_ns = busy_poll_adapt(engine->poll_now_ns, engine->poll_ns, ready);
	return ready;
}

/* Polls, but just once when it is BUSY; whether there is something to do. */
static bool ring_poll(struct engine *engine, bool busy)
{
	struct busy_receive waiting;
	uint64_t start = engine->polled_at = clock_ns();

	busy |= (busy || !is_polling(engine)) ? poll_once(engine) : poll_for_a_while(engine);
	/* Before a sleep all go to the ring; else those whose connections have fallen silent. */
	while (busy_poll_take_old(&engine->busy_poll, busy ? start - engine->poll_ns : UINT64_MAX, &waiting))
		ring_recv(engine, waiting.op, waiting.fd, waiting.buffer, waiting.size);
	return busy;
}

static void ring_submit(struct engine *engine, bool sleep)
{
	int result;

	engine->stats.system_calls++;
	if (sleep) {
		engine->stats.sleeps++;
		result = io_uring_submit_and_wait(&engine->ring, 1);
	} else {
		result = io_uring_submit_and_get_events(&engine->ring);
	}
	if (result == -EBUSY || result == -EAGAIN)
		stash_completions(engine);
}

static void ring_enter(struct engine *engine, bool busy)
{
	if (!busy && engine->polling == ENGINE_POLL_TRANSFERS)
		try_luck(engine);
	/* What was to be polled for is looked at, or goes to the ring. */
	if (is_polling(engine) || engine->busy_poll.count) {
		if (io_uring_sq_ready(&engine->ring))
			ring_submit(engine, false);
		busy = ring_poll(engine, busy || engine->stashed > 0);
		if (busy && !kernel_holds_back(engine))
			return;
	}
	if (!busy) {
		/* Order matters: whoever posts after this store sees it and wakes us; whoever posted before is seen here. */
		atomic_store(&engine->sleeping, true);
		busy = atomic_load(&engine->inbox) != NULL || engine->stashed;
	}
	ring_submit(engine, !busy);
	atomic_store_explicit(&engine->sleeping, false, memory_order_relaxed);
}

static void completion_deliver(struct completion completion)
{
	/* Nothing but a timer ends with ETIME, and for a timer that is success. */
	if (completion.op)
		completion.op->done(completion.op, completion.result == -ETIME ? 0 : completion.result);
}

static void deliver_all(struct engine *engine)
{
	struct completion completions[REAP_BATCH];
	unsigned count;

	/* `done` may stash again while this runs. */
	for (unsigned i = 0; i < engine->stashed; i++)
		completion_deliver(engine->stash[i]);
	engine->stashed = 0;
	while ((count = ring_take(engine, completions, REAP_BATCH)) > 0)
		for (unsigned i = 0; i < count; i++)
			completion_deliver(completions[i]);
}

static void run_inbox(struct engine *engine)
{
	struct engine_message *message = atomic_exchange(&engine->inbox, NULL);
	struct engine_message *ordered = NULL;

	while (message) {
		struct engine_message *next = message->next;

		message->next = ordered;
		ordered = message;
		message = next;
	}
	while (ordered) {
		struct engine_message *next = ordered->next;

		ordered->run(ordered);
		ordered = next;
	}
}

void engine_wait(struct engine *engine, bool busy)
{
	engine->stats.waits++;
	ring_enter(engine, busy);
	if (engine->now)
		*engine->now = clock_ns();
	deliver_all(engine);
	if (!inbox_empty(engine))
		run_inbox(engine);
}

void engine_keep_time(struct engine *engine, uint64_t *now)
{
	engine->now = now;
}

void engine_post(struct engine *engine, struct engine_message *message)
{
	struct engine_message *head = atomic_load_explicit(&engine->inbox, memory_order_relaxed);
	uint64_t one = 1;

	do {
		message->next = head;
	} while (!atomic_compare_exchange_weak(&engine->inbox, &head, message));
	/* Only the first poster finds it true; a lost wake-up cannot be (see ring_enter). */
	if (atomic_exchange(&engine->sleeping, false))
		while (write(engine->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
}

void engine_accept(struct engine *engine, struct engine_op *op, int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, op);
}

void engine_recv(struct engine *engine, struct engine_op *op, int fd, void *buffer, size_t size)
{
	const struct busy_receive receive = { op, fd, buffer, size, engine->polled_at };

	if (!is_polling(engine) || !busy_poll_add(&engine->busy_poll, &receive))
		ring_recv(engine, op, fd, buffer, size);
}

void engine_recvv(struct engine *engine, struct engine_op *op, int fd, struct iovec *iov, unsigned count)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	op->host.message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = count };
	io_uring_prep_recvmsg(sqe, fd, &op->host.message, 0);
	io_uring_sqe_set_data(sqe, op);
}

void engine_sendv(struct engine *engine, struct engine_op *op, int fd, struct iovec *iov, unsigned count, int flags)
{
	struct io_uring_sqe *sqe;

	op->host.message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = count };
	if (is_polling(engine)) {
		/* An engine that doesn't sleep has no other system call to put it into. */
		ssize_t sent = sendmsg(fd, &op->host.message, MSG_NOSIGNAL | MSG_DONTWAIT);

		engine->stats.system_calls++;
		if (sent > 0) {
			stash_push(engine, (struct completion){ op, (int)sent });
			return;
		}
	}
	sqe = ring_sqe(engine);
	io_uring_prep_sendmsg(sqe, fd, &op->host.message, MSG_NOSIGNAL | (unsigned)flags);
	io_uring_sqe_set_data(sqe, op);
}

static void set_transfer(struct engine *engine, struct io_uring_sqe *sqe, struct engine_op *op)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)op | TRANSFER);
	engine->transfers++;
}

void engine_readv(struct engine *engine, struct engine_op *op, int fd, const struct iovec *iov, unsigned count,
		  uint64_t offset, int flags)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_readv2(sqe, fd, iov, count, offset, flags);
	set_transfer(engine, sqe, op);
}

void engine_writev(struct engine *engine, struct engine_op *op, int fd, const struct iovec *iov, unsigned count,
		   uint64_t offset, int flags)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_writev2(sqe, fd, iov, count, offset, flags);
	set_transfer(engine, sqe, op);
}

void engine_fdatasync(struct engine *engine, struct engine_op *op, int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, op);
}

void engine_fallocate(struct engine *engine, struct engine_op *op, int fd, int mode, uint64_t offset, uint64_t length)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)length);
	io_uring_sqe_set_data(sqe, op);
}

void engine_poll(struct engine *engine, struct engine_op *op, int fd, unsigned events)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);

	io_uring_prep_poll_add(sqe, fd, events);
	io_uring_sqe_set_data(sqe, op);
}

void engine_timer(struct engine *engine, struct engine_op *op, uint64_t nanoseconds)
{
	struct io_uring_sqe *sqe = ring_sqe(engine);
	struct __kernel_timespec *timeout = (struct __kernel_timespec *)(void *)&op->host.timeout;

	timeout->tv_sec = (long long)(nanoseconds / 1000000000u);
	timeout->tv_nsec = (long long)(nanoseconds % 1000000000u);
	io_uring_prep_timeout(sqe, timeout, 0, 0);
	io_uring_sqe_set_data(sqe, op);
}

void engine_cancel(struct engine *engine, struct engine_op *op)
{
	struct io_uring_sqe *sqe;

	if (busy_poll_remove(&engine->busy_poll, op)) {
		stash_push(engine, (struct completion){ op, -ECANCELED });
		return;
	}
	sqe = ring_sqe(engine);
	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}
