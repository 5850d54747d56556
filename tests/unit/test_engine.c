/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's promises: everything completes exactly once, however small its queues are. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/list.h"
#include "server/engine/busy_poll.h"
#include "server/engine/engine.h"
#include "server/engine/pool.h"
#include "tests/unit/unit.h"

/* An operation that counts. */
struct counted {
	struct engine_op op;
	unsigned ended;
	int result;
};

static unsigned ended_total;

static void counted_done(struct engine_op *op, int result)
{
	struct counted *counted = container_of(op, struct counted, op);

	counted->ended++;
	counted->result = result;
	ended_total++;
}

static struct engine *engine_new(const struct engine_config *config)
{
	struct engine *engine = NULL;
	int result = engine_create(&engine, config);

	if (result < 0)
		fail_msg("%s", engine_refusal(result));
	ended_total = 0;
	return engine;
}

static void wait_until(struct engine *engine, unsigned total)
{
	while (ended_total < total)
		engine_wait(engine, false);
}

#define MANY 500

static void test_full_queues_lose_nothing(void **state)
{
	struct engine *engine = engine_new(&(struct engine_config){ .starts = 2, .ends = 4 });
	static struct counted counted[MANY];

	(void)state;
	memset(counted, 0, sizeof(counted));
	for (unsigned i = 0; i < MANY; i++) {
		counted[i].op.done = counted_done;
		engine_timer(engine, &counted[i].op, 1);
	}
	wait_until(engine, MANY);
	/* Nothing comes twice, not later either. */
	for (int i = 0; i < 10; i++)
		engine_wait(engine, true);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(counted[i].ended, 1);
		assert_int_equal(counted[i].result, 0);
	}
	engine_destroy(engine);
}

static void test_a_receive_waits_for_its_bytes(void **state)
{
	struct engine *engine = engine_new(*state);
	struct counted receive = { .op.done = counted_done }, send = { .op.done = counted_done };
	struct iovec iov[2] = { { (char[]){ "hel" }, 3 }, { (char[]){ "lo" }, 2 } };
	char buffer[16];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	engine_recv(engine, &receive.op, pair[0], buffer, sizeof(buffer));
	engine_wait(engine, true);
	assert_int_equal(ended_total, 0);
	engine_sendv(engine, &send.op, pair[1], iov, 2, MSG_WAITALL);
	wait_until(engine, 2);
	assert_int_equal(send.result, 5);
	assert_int_equal(receive.result, 5);
	assert_memory_equal(buffer, "hello", 5);
	close(pair[0]);
	close(pair[1]);
	engine_destroy(engine);
}

static void test_a_large_send_arrives(void **state)
{
	struct engine *engine = engine_new(*state);
	struct counted receive = { .op.done = counted_done }, send = { .op.done = counted_done };
	static char out[4 << 20], in[1 << 20];
	struct iovec iov = { out, sizeof(out) };
	size_t received = 0, sent = 0;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	engine_sendv(engine, &send.op, pair[1], &iov, 1, MSG_WAITALL);
	while (received < sizeof(out)) {
		receive.ended = 0;
		engine_recv(engine, &receive.op, pair[0], in, sizeof(in));
		while (!receive.ended)
			engine_wait(engine, false);
		assert_in_range(receive.result, 1, sizeof(in));
		received += (size_t)receive.result;
		if (send.ended) {
			sent += (size_t)send.result;
			iov = (struct iovec){ out + sent, sizeof(out) - sent };
			send.ended = 0;
			if (sent < sizeof(out))
				engine_sendv(engine, &send.op, pair[1], &iov, 1, MSG_WAITALL);
		}
	}
	while (sent < sizeof(out) && !send.ended)
		engine_wait(engine, false);
	assert_int_equal(sent + (size_t)(sent < sizeof(out) ? send.result : 0), sizeof(out));
	close(pair[0]);
	close(pair[1]);
	engine_destroy(engine);
}

static void test_files_are_read_written_and_shaped(void **state)
{
	struct engine *engine = engine_new(*state);
	struct counted op = { .op.done = counted_done };
	char buffer[16], path[] = "/tmp/platter-engine-XXXXXX";
	int fd = mkstemp(path);
	struct iovec out[2] = { { (char[]){ "first" }, 5 }, { (char[]){ "last" }, 4 } }, in = { buffer, sizeof(buffer) };

	assert_true(fd >= 0);
	unlink(path);
	engine_writev(engine, &op.op, fd, out, 2, 4096, 0);
	wait_until(engine, 1);
	assert_int_equal(op.result, 9);
	engine_fdatasync(engine, &op.op, fd);
	wait_until(engine, 2);
	assert_int_equal(op.result, 0);
	engine_readv(engine, &op.op, fd, &in, 1, 4096, 0);
	wait_until(engine, 3);
	assert_int_equal(op.result, 9);
	assert_memory_equal(buffer, "firstlast", 9);
	engine_fallocate(engine, &op.op, fd, 0, 0, 1 << 20);
	wait_until(engine, 4);
	assert_int_equal(op.result, 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 1 << 20);
	close(fd);
	engine_fdatasync(engine, &op.op, fd);
	wait_until(engine, 5);
	assert_int_equal(op.result, -EBADF);
	engine_destroy(engine);
}

static void test_cancelled_operations_still_end(void **state)
{
	struct engine *engine = engine_new(*state);
	struct counted receive = { .op.done = counted_done }, timer = { .op.done = counted_done }, poll = { .op.done = counted_done };
	char buffer[16];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	engine_recv(engine, &receive.op, pair[0], buffer, sizeof(buffer));
	engine_timer(engine, &timer.op, UINT64_C(3600) * 1000000000);
	engine_poll(engine, &poll.op, pair[0], POLLRDHUP);
	engine_wait(engine, true);
	assert_int_equal(ended_total, 0);
	engine_cancel(engine, &receive.op);
	engine_cancel(engine, &timer.op);
	engine_cancel(engine, &poll.op);
	wait_until(engine, 3);
	assert_int_equal(receive.result, -ECANCELED);
	assert_int_equal(timer.result, -ECANCELED);
	assert_int_equal(poll.result, -ECANCELED);
	close(pair[0]);
	close(pair[1]);
	engine_destroy(engine);
}

/* A connection dies with a receive in flight, and in the moment of its end the next one gets its descriptor. */
struct successor {
	struct counted old, next;
	int pair[2], next_pair[2];
	char old_buffer[16], next_buffer[16];
	struct engine *engine;
};

static void succeed(struct engine_op *op, int result)
{
	struct successor *successor = container_of(op, struct successor, old.op);

	counted_done(op, result);
	assert_int_equal(successor->old.ended, 1);
	close(successor->pair[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, successor->next_pair), 0);
	assert_int_equal(successor->next_pair[0], successor->pair[0]);
	assert_int_equal(write(successor->next_pair[1], "for the next one", 16), 16);
	engine_recv(successor->engine, &successor->next.op, successor->next_pair[0], successor->next_buffer, 16);
}

static void test_a_receive_that_is_over_touches_nothing_of_the_next(void **state)
{
	struct engine *engine = engine_new(*state);

	for (unsigned round = 0; round < 40; round++) {
		struct successor successor = { .old.op.done = succeed, .next.op.done = counted_done, .old_buffer = "untouched", .engine = engine };
		bool submitted = round & 1, data = round & 2;

		ended_total = 0;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, successor.pair), 0);
		engine_recv(engine, &successor.old.op, successor.pair[0], successor.old_buffer, sizeof(successor.old_buffer));
		if (submitted)
			engine_wait(engine, true);
		assert_int_equal(ended_total, 0);
		/* Its data and its cancellation may meet: either way there is one end. */
		if (data)
			assert_int_equal(write(successor.pair[1], "data", 5), 5);
		engine_cancel(engine, &successor.old.op);
		wait_until(engine, 2);
		for (int i = 0; i < 10; i++)
			engine_wait(engine, true);
		assert_int_equal(successor.old.ended, 1);
		if (!data || successor.old.result != 5)
			assert_int_equal(successor.old.result, -ECANCELED);
		assert_string_equal(successor.old_buffer, successor.old.result == 5 ? "data" : "untouched");
		assert_int_equal(successor.next.ended, 1);
		assert_int_equal(successor.next.result, 16);
		assert_memory_equal(successor.next_buffer, "for the next one", 16);
		close(successor.next_pair[0]);
		close(successor.next_pair[1]);
		close(successor.pair[1]);
	}
	engine_destroy(engine);
}

static void test_a_hang_up_is_seen_with_data_unread(void **state)
{
	struct engine *engine = engine_new(*state);
	struct counted poll = { .op.done = counted_done };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[1], "unread", 6), 6);
	engine_poll(engine, &poll.op, pair[0], POLLRDHUP);
	engine_wait(engine, true);
	assert_int_equal(ended_total, 0);
	close(pair[1]);
	wait_until(engine, 1);
	assert_true(poll.result & POLLRDHUP);
	close(pair[0]);
	engine_destroy(engine);
}

#define POSTERS 4
#define POSTS 2000

static struct {
	struct engine *engine;
	struct posted {
		struct engine_message message;
		unsigned poster, number;
	} posts[POSTERS][POSTS];
	unsigned next[POSTERS];
	unsigned seen;
} posting;

static void posted_run(struct engine_message *message)
{
	struct posted *posted = container_of(message, struct posted, message);

	assert_int_equal(posted->number, posting.next[posted->poster]);
	posting.next[posted->poster]++;
	posting.seen++;
}

static void *post_all(void *argument)
{
	unsigned poster = (unsigned)(uintptr_t)argument;

	for (unsigned i = 0; i < POSTS; i++) {
		struct posted *posted = &posting.posts[poster][i];

		posted->poster = poster;
		posted->number = i;
		posted->message.run = posted_run;
		engine_post(posting.engine, &posted->message);
	}
	return NULL;
}

static void test_messages_arrive_in_order_and_wake(void **state)
{
	pthread_t threads[POSTERS];

	memset(&posting, 0, sizeof(posting));
	posting.engine = engine_new(*state);
	for (uintptr_t i = 0; i < POSTERS; i++)
		pthread_create(&threads[i], NULL, post_all, (void *)i);
	while (posting.seen < POSTERS * POSTS)
		engine_wait(posting.engine, false);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	engine_destroy(posting.engine);
}

/* More receives than are polled by hand, of which one is used all the time and the others now and then. */
static void test_no_receive_is_forgotten(void **state)
{
	enum { SOCKETS = 10 };
	struct engine *engine = engine_new(*state);
	struct counted receives[SOCKETS];
	char buffers[SOCKETS];
	int pairs[SOCKETS][2];

	for (unsigned i = 0; i < SOCKETS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		receives[i] = (struct counted){ .op.done = counted_done };
		engine_recv(engine, &receives[i].op, pairs[i][0], &buffers[i], 1);
	}
	for (unsigned round = 0; round < 100; round++) {
		unsigned which = round % 3 ? 0 : round / 3 % SOCKETS;
		char byte = (char)round;

		assert_int_equal(write(pairs[which][1], &byte, 1), 1);
		/* A turn of an engine that has other work, too, gets there. */
		while (!receives[which].ended)
			engine_wait(engine, round % 2);
		assert_int_equal(receives[which].result, 1);
		assert_int_equal(buffers[which], byte);
		receives[which].ended = 0;
		engine_recv(engine, &receives[which].op, pairs[which][0], &buffers[which], 1);
	}
	assert_int_equal(ended_total, 100);
	for (unsigned i = 0; i < SOCKETS; i++) {
		engine_cancel(engine, &receives[i].op);
		wait_until(engine, 101 + i);
		assert_int_equal(receives[i].result, -ECANCELED);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	engine_destroy(engine);
}

static void test_polled_receives_take_turns(void **state)
{
	struct busy_poll poll = { .count = 0 };
	struct engine_stats stats = { 0 };
	struct engine_op ops[3], *op;
	int pairs[3][2], result;
	char bytes[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		assert_int_equal(write(pairs[i][1], "many", 4), 4);
		assert_true(busy_poll_add(&poll, &(struct busy_receive){ &ops[i], pairs[i][0], &bytes[i], 1, 0 }));
	}
	/* All are always ready. */
	for (unsigned i = 0; i < 9; i++) {
		assert_true(busy_poll_try(&poll, &op, &result, &stats));
		assert_ptr_equal(op, &ops[i % 3]);
		assert_int_equal(result, 1);
		assert_true(busy_poll_add(&poll, &(struct busy_receive){ op, pairs[i % 3][0], &bytes[i % 3], 1, 0 }));
	}
	assert_int_equal(stats.system_calls, 9);
	for (unsigned i = 0; i < 3; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
}

static void test_the_polling_time_adapts(void **state)
{
	uint64_t most = 50000, now = most;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		now = busy_poll_adapt(now, most, false);
	/* It never stops looking altogether. */
	assert_in_range(now, 1, most / 32);
	for (unsigned i = 0; i < 9; i++)
		now = busy_poll_adapt(now, most, true);
	assert_int_equal(now, most);
	assert_int_equal(busy_poll_adapt(now, most, false), most / 2);
	assert_int_equal(busy_poll_adapt(1, 1, true), 1);
	assert_int_equal(busy_poll_adapt(1, 1, false), 1);
}

/* After a row of misses there are pauses, which grow, each with a few tries behind it; hits end that. */
static void test_who_has_no_luck_polls_less(void **state)
{
	struct poll_luck luck = { .misses = 0 };
	unsigned tries = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		poll_luck_count(&luck, i % 2);
		assert_true(poll_luck_try(&luck));
	}
	while (poll_luck_try(&luck)) {
		poll_luck_count(&luck, false);
		tries++;
	}
	assert_in_range(tries, 10, 20);
	tries = 0;
	for (unsigned i = 0; i < 100000; i++) {
		if (poll_luck_try(&luck)) {
			poll_luck_count(&luck, false);
			tries++;
		}
	}
	assert_in_range(tries, 50, 200);
	while (!poll_luck_try(&luck))
		;
	for (unsigned i = 0; i < 20; i++)
		poll_luck_count(&luck, true);
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(poll_luck_try(&luck));
		poll_luck_count(&luck, i % 2);
	}
}

/* A receive that was polled for as long as a file was being read is there when it is over. */
static void test_a_receive_outlasts_transfers(void **state)
{
	struct engine *engine = engine_new(&(struct engine_config){ .poll_ns = 50000, .polling = ENGINE_POLL_TRANSFERS });
	struct counted transfer = { .op.done = counted_done }, receive = { .op.done = counted_done };
	struct iovec iov;
	int ends[2], pair[2];
	char byte, received = 0;

	(void)state;
	iov = (struct iovec){ &byte, 1 };
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	engine_readv(engine, &transfer.op, ends[0], &iov, 1, (uint64_t)-1, 0);
	engine_recv(engine, &receive.op, pair[0], &received, 1);
	engine_wait(engine, true);
	assert_int_equal(ended_total, 0);
	assert_int_equal(write(ends[1], "t", 1), 1);
	wait_until(engine, 1);
	assert_int_equal(transfer.result, 1);
	/* Nobody looks at it by hand any more. */
	for (unsigned i = 0; i < 3; i++)
		engine_wait(engine, true);
	assert_int_equal(write(pair[1], "r", 1), 1);
	wait_until(engine, 2);
	assert_int_equal(received, 'r');
	engine_destroy(engine);
	for (unsigned i = 0; i < 2; i++) {
		close(ends[i]);
		close(pair[i]);
	}
}

static void nothing(struct engine_message *message)
{
	(void)message;
}

/* Sends a byte through ENGINE; how many operations that was for the kernel's ring. */
static uint64_t send_by_ring(struct engine *engine, int fd)
{
	struct counted send = { .op.done = counted_done };
	struct iovec iov = { (char[]){ "s" }, 1 };
	uint64_t before = engine_stats(engine)->submitted;

	ended_total = 0;
	engine_sendv(engine, &send.op, fd, &iov, 1, MSG_WAITALL);
	while (!send.ended)
		engine_wait(engine, true);
	assert_int_equal(send.result, 1);
	return engine_stats(engine)->submitted - before;
}

/* While it polls, what is sent doesn't go to the ring: that is how one can tell. */
static void test_what_follows_on_transfers_is_polled_for(void **state)
{
	struct engine *engine = engine_new(&(struct engine_config){ .poll_ns = 60000000000, .polling = ENGINE_POLL_TRANSFERS });
	struct engine_message message = { .run = nothing };
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(send_by_ring(engine, pair[0]), 1);
	engine_transferred(engine);
	engine_post(engine, &message);
	engine_wait(engine, false);
	assert_int_equal(send_by_ring(engine, pair[0]), 0);
	/* Half a minute, here. */
	engine_post(engine, &message);
	engine_wait(engine, false);
	assert_int_equal(send_by_ring(engine, pair[0]), 0);
	engine_destroy(engine);
	close(pair[0]);
	close(pair[1]);
}

struct counted_job {
	struct pool_job job;
	pthread_t ran_on;
	unsigned ran;
};

static void job_run(struct pool_job *job)
{
	struct counted_job *counted = container_of(job, struct counted_job, job);

	counted->ran++;
	counted->ran_on = pthread_self();
}

static void job_back(struct engine_message *message)
{
	(void)message;
	ended_total++;
}

static void test_jobs_run_elsewhere_and_come_back(void **state)
{
	struct engine *engine = engine_new(&(struct engine_config){ .starts = 0 });
	static struct counted_job jobs[100];
	struct pool *pool;

	(void)state;
	memset(jobs, 0, sizeof(jobs));
	assert_int_equal(pool_create(&pool, "test", 3), 0);
	for (unsigned i = 0; i < 100; i++) {
		jobs[i].job = (struct pool_job){ .run = job_run, .engine = engine, .message.run = job_back };
		pool_run(pool, &jobs[i].job);
	}
	wait_until(engine, 100);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(jobs[i].ran, 1);
		assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
	}
	/* Without an engine, destroying the pool waits for it. */
	jobs[0].job = (struct pool_job){ .run = job_run };
	pool_run(pool, &jobs[0].job);
	pool_destroy(pool);
	assert_int_equal(jobs[0].ran, 2);
	pool_destroy(NULL);
	engine_destroy(engine);
	engine_destroy(NULL);
}

static void test_refusals_say_what_to_do(void **state)
{
	(void)state;
	assert_non_null(strstr(engine_refusal(-EPERM), "io_uring_disabled"));
	assert_non_null(strstr(engine_refusal(-ENOSYS), "5.15"));
	assert_non_null(strstr(engine_refusal(-ENOMEM), "LimitMEMLOCK"));
}

#define with(test, how, ...) { #test ", " how, test, NULL, NULL, &(struct engine_config){ __VA_ARGS__ } }

#define each_way(test)                                                                          \
	with(test, "asleep", .poll_ns = 0),                                                     \
	with(test, "polling", .poll_ns = 50000),                                                \
	with(test, "polling at times", .poll_ns = 50000, .polling = ENGINE_POLL_ALL_ADAPTED),   \
	with(test, "polling for transfers", .poll_ns = 50000, .polling = ENGINE_POLL_TRANSFERS)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_queues_lose_nothing),
		each_way(test_a_receive_waits_for_its_bytes),
		each_way(test_a_large_send_arrives),
		each_way(test_files_are_read_written_and_shaped),
		each_way(test_cancelled_operations_still_end),
		each_way(test_a_receive_that_is_over_touches_nothing_of_the_next),
		each_way(test_a_hang_up_is_seen_with_data_unread),
		each_way(test_messages_arrive_in_order_and_wake),
		each_way(test_no_receive_is_forgotten),
		cmocka_unit_test(test_polled_receives_take_turns),
		cmocka_unit_test(test_the_polling_time_adapts),
		cmocka_unit_test(test_who_has_no_luck_polls_less),
		cmocka_unit_test(test_a_receive_outlasts_transfers),
		cmocka_unit_test(test_what_follows_on_transfers_is_polled_for),
		cmocka_unit_test(test_jobs_run_elsewhere_and_come_back),
		cmocka_unit_test(test_refusals_say_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
