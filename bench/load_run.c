/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: keeps every connection's window full until the job is over. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "bench/load_connection.h"

#define STALL_SECONDS 10

static const struct result *volatile watched;
static volatile sig_atomic_t terminated;

static bool connection_busy(const struct connection *connection)
{
	return connection->budget || connection->free_count < connection->depth;
}

/* Waits until a socket is ready, or the rate allows a request. */
static void wait_polled(struct connection **connections, unsigned count, struct pollfd *polled, struct run *run)
{
	uint64_t due = UINT64_MAX;
	struct timespec timeout;

	for (unsigned i = 0; i < count && run->job->interval_ns; i++) {
		uint64_t of_this = connection_due(connections[i], run);

		due = of_this < due ? of_this : due;
	}
	timeout.tv_sec = due > run->now ? (time_t)((due - run->now) / 1000000000) : 0;
	timeout.tv_nsec = due > run->now ? (long)((due - run->now) % 1000000000) : 0;
	if (ppoll(polled, count, due == UINT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
		err(1, "poll");
	run->now = load_now_ns();
}

/* Several connections, one whose socket is full, or a rate. */
static void turn_polled(struct connection **connections, unsigned count, struct pollfd *polled, struct run *run)
{
	for (unsigned i = 0; i < count; i++)
		polled[i] = (struct pollfd){
			.fd = connections[i]->stream.fd,
			.events = (short)(POLLIN | (connection_is_behind(connections[i]) ? POLLOUT : 0)),
		};
	wait_polled(connections, count, polled, run);
	for (unsigned i = 0; i < count; i++) {
		if (polled[i].revents & ~POLLOUT)
			connection_receive(connections[i], run, MSG_DONTWAIT);
		if (polled[i].revents || run->job->interval_ns)
			connection_send(connections[i], run);
	}
}

static void turn(struct connection **connections, unsigned count, struct pollfd *polled, struct run *run)
{
	if (count > 1 || run->job->interval_ns || connection_is_behind(connections[0])) {
		turn_polled(connections, count, polled, run);
		return;
	}
	connection_receive(connections[0], run, 0);
	connection_send(connections[0], run);
}

static bool all_done(struct connection **connections, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (connection_busy(connections[i]))
			return false;
	return true;
}

static void stalled(int signal_number)
{
	static const char message[] = "platter-load: the server doesn't answer any more\n";
	static uint64_t seen = UINT64_MAX;

	(void)signal_number;
	if (watched->requests == seen && write(STDERR_FILENO, message, sizeof(message) - 1) > 0)
		_exit(1);
	seen = watched->requests;
}

/* Ends the program when a whole interval passes without a reply; 0 SECONDS end the watch. */
static void watchdog(time_t seconds)
{
	const struct sigaction action = { .sa_handler = stalled, .sa_flags = SA_RESTART };
	const struct itimerval timer = { .it_interval = { .tv_sec = seconds }, .it_value = { .tv_sec = seconds } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void terminate(int signal_number)
{
	(void)signal_number;
	terminated = 1;
}

void load_run(struct connection **connections, unsigned count, const struct job *job, struct result *result)
{
	struct pollfd *polled = load_allocate(count, sizeof(*polled));
	struct run run = { .job = job, .result = result, .input = load_allocate(1, CARRY_SIZE + RECEIVE_SIZE) };
	uint64_t deadline;

	*result = (struct result){ 0 };
	for (unsigned i = 0; i < count; i++)
		connection_start(connections[i], job);
	watched = result;
	watchdog(STALL_SECONDS);
	signal(SIGTERM, terminate);
	run.start = run.now = load_now_ns();
	deadline = job->per_connection == UINT64_MAX ? run.start + (uint64_t)(job->seconds * 1e9) : UINT64_MAX;
	for (unsigned i = 0; i < count; i++)
		connection_send(connections[i], &run);
	while (!all_done(connections, count)) {
		turn(connections, count, polled, &run);
		if (run.now >= deadline || terminated)
			for (unsigned i = 0; i < count; i++)
				connections[i]->budget = 0;
	}
	result->elapsed_ns = run.now - run.start;
	watchdog(0);
	for (unsigned i = 0; i < count; i++)
		connection_finish(connections[i]);
	free(run.input);
	free(polled);
}
