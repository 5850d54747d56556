/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/reactor.h"
#include "server/stats.h"

/* timeout(1) and other supervisors signal a process and then its group: within this time two are one. */
#define SAME_NS 100000000u

static const int endings[] = { SIGTERM, SIGINT, SIGHUP };

static struct {
	int fd;
	struct engine_op op, settle_op;
	bool settling; /* what comes now is still the first signal */
	void (*stop)(void);
	bool (*reloads)(void);
	void (*reload)(void);
	volatile uint64_t since; /* CLOCK_MONOTONIC, ns: when the end was asked for; 0: it wasn't */
} signals;

static bool is_second(void)
{
	return signals.since && clock_ns() - signals.since > SAME_NS;
}

static void settle_done(struct engine_op *op, int result)
{
	(void)op;
	(void)result;
	signals.settling = false;
}

static void end(int number)
{
	if (signals.settling)
		return;
	if (signals.since) {
		log_warning("%s again: ending at once", strsignal(number));
		_exit(EXIT_FAILURE);
	}
	log_notice("%s: finishing; once more ends at once", strsignal(number));
	signals.since = clock_ns();
	signals.settling = true;
	/* A completion behind those of signals that came before it, however late they are looked at. */
	signals.settle_op.done = settle_done;
	engine_timer(reactor_self()->engine, &signals.settle_op, SAME_NS);
	signals.stop();
}

static void wait_for_more(void)
{
	engine_poll(reactor_self()->engine, &signals.op, signals.fd, POLLIN);
}

static void signals_done(struct engine_op *op, int result)
{
	struct signalfd_siginfo info;

	(void)op;
	if (result < 0)
		return;
	while (read(signals.fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			stats_log();
		else if (info.ssi_signo != SIGHUP || !signals.reloads())
			end((int)info.ssi_signo);
		else if (!signals.since)
			signals.reload();
	}
	wait_for_more();
}

void signals_init(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Those that end it; with nohup(1) it was started to ignore one. */
static void endings_set(sigset_t *set)
{
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (endings[i] != SIGHUP || sigaction(SIGHUP, NULL, &action) < 0 || action.sa_handler != SIG_IGN)
			sigaddset(set, endings[i]);
}

int signals_block(void)
{
	sigset_t set;

	endings_set(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals.op.done = signals_done;
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals.fd < 0 ? -errno : 0;
}

void signals_watch(void (*stop)(void), bool (*reloads)(void), void (*reload)(void))
{
	signals.stop = stop;
	signals.reloads = reloads;
	signals.reload = reload;
	wait_for_more();
}

static void end_now(int number)
{
	static const char message[] = "platterd: warning: a second signal: ending at once\n";

	ssize_t written;

	(void)number;
	if (!is_second())
		return;
	written = write(STDERR_FILENO, message, sizeof(message) - 1);
	(void)written;
	_exit(EXIT_FAILURE);
}

void signals_unwatch(void)
{
	const struct sigaction action = { .sa_handler = end_now, .sa_flags = SA_RESTART };
	sigset_t set;

	if (signals.reloads())
		signal(SIGHUP, SIG_IGN);
	endings_set(&set);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (sigismember(&set, endings[i]) == 1)
			sigaction(endings[i], &action, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
