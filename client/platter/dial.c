/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/platter/uri.h"
#include "common/clock.h"

#define HEAD_START_NS UINT64_C(250000000)

static int resolve_unix(struct dial *dial, const char *path, struct problem *problem)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&dial->list[0].address;

	if (strlen(path) >= sizeof(address->sun_path))
		return problem_set(problem, STATUS_USAGE, "%s: too long for a socket's path; %zu bytes are the most", path,
				   sizeof(address->sun_path) - 1);
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(address->sun_path, path);
	dial->list[0].length = sizeof(*address);
	dial->count = 1;
	return 0;
}

int dial_resolve(struct dial *dial, const struct uri *uri, struct problem *problem)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found;
	int result;

	dial->count = 0;
	if (uri->socket)
		return resolve_unix(dial, uri->socket, problem);
	result = getaddrinfo(uri->host, uri->port, &hints, &found);
	if (result != 0)
		return problem_set(problem, STATUS_UNREACHABLE, "%s: %s", uri->host,
				   result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
	for (const struct addrinfo *at = found; at && dial->count < DIAL_MOST; at = at->ai_next) {
		if (at->ai_addrlen > sizeof(dial->list[0].address))
			continue;
		memcpy(&dial->list[dial->count].address, at->ai_addr, at->ai_addrlen);
		dial->list[dial->count++].length = at->ai_addrlen;
	}
	freeaddrinfo(found);
	return 0;
}

static void address_text(const struct sockaddr_storage *address, socklen_t length, char *text)
{
	char host[64], port[16];

	if (address->ss_family == AF_UNIX) {
		snprintf(text, DIAL_TEXT, "%s", ((const struct sockaddr_un *)address)->sun_path);
		return;
	}
	if (getnameinfo((const struct sockaddr *)address, length, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		strcpy(host, "?"), strcpy(port, "?");
	snprintf(text, DIAL_TEXT, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

void dial_peer(int fd, char *text)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	*text = '\0';
	if (fd >= 0 && getpeername(fd, (struct sockaddr *)&address, &length) == 0)
		address_text(&address, length, text);
}

/* NBD has no ping: these notice a peer that has vanished without a word, even while nothing is asked of it. */
static void watch_peer(int fd)
{
	const int on = 1, idle = 10, interval = 5, probes = 2;
	const unsigned silence = DIAL_SILENCE_SECONDS * 1000;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
}

/* Connections on their way: one slot for each address, and one for `cancel`. */
struct race {
	const struct dial *dial;
	struct pollfd slots[DIAL_MOST + 1];
	unsigned started, running;
	struct problem *problem;
};

static void lost(struct race *race, unsigned which, int reason)
{
	char text[DIAL_TEXT];

	if (race->slots[which].fd >= 0) {
		close(race->slots[which].fd);
		race->slots[which].fd = -1;
		race->running--;
	}
	address_text(&race->dial->list[which].address, race->dial->list[which].length, text);
	problem_set(race->problem, STATUS_UNREACHABLE, "%s: %s", text, strerror(reason));
}

static void start_next(struct race *race)
{
	unsigned which = race->started++;
	const struct dial_address *address = &race->dial->list[which];
	int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	race->slots[which] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	if (fd < 0) {
		lost(race, which, errno);
		return;
	}
	race->running++;
	if (address->address.ss_family != AF_UNIX)
		watch_peer(fd);
	if (connect(fd, (const struct sockaddr *)&address->address, address->length) < 0 && errno != EINPROGRESS)
		lost(race, which, errno);
}

/* The winner's descriptor, which is its slot's no more; -1: none yet. */
static int look(struct race *race)
{
	for (unsigned i = 0; i < race->started; i++) {
		int reason = 0, fd = race->slots[i].fd;
		socklen_t length = sizeof(reason);

		if (fd < 0 || !race->slots[i].revents)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length) < 0)
			reason = errno;
		if (reason == 0) {
			race->slots[i].fd = -1;
			return fd;
		}
		lost(race, i, reason);
	}
	return -1;
}

static int wait_ms(const struct race *race, uint64_t now, uint64_t next, uint64_t deadline)
{
	uint64_t until = race->started < race->dial->count && next < deadline ? next : deadline;

	return until <= now ? 0 : (int)((until - now + 999999) / 1000000);
}

static int run(struct race *race, uint64_t deadline, int cancel)
{
	uint64_t next = 0;

	for (;;) {
		uint64_t now = clock_ns();
		int winner;

		if (race->started < race->dial->count && (race->running == 0 || now >= next)) {
			start_next(race);
			next = now + HEAD_START_NS;
			continue;
		}
		if (race->running == 0)
			return -1;
		if (now >= deadline) {
			for (unsigned i = 0; i < race->started; i++)
				if (race->slots[i].fd >= 0)
					lost(race, i, ETIMEDOUT);
			return -1;
		}
		race->slots[race->started] = (struct pollfd){ .fd = cancel, .events = POLLIN };
		if (poll(race->slots, race->started + 1, wait_ms(race, now, next, deadline)) < 0 && errno != EINTR)
			return problem_set(race->problem, STATUS_FAILED, "poll: %s", strerror(errno));
		if (race->slots[race->started].revents)
			return problem_set(race->problem, STATUS_FAILED, "it was called off");
		winner = look(race);
		if (winner >= 0)
			return winner;
	}
}

int dial_connect(const struct dial *dial, uint64_t deadline, int cancel, struct problem *problem)
{
	struct race race = { .dial = dial, .problem = problem };
	int fd;

	problem_set(problem, STATUS_UNREACHABLE, "there is no address to connect to");
	fd = run(&race, deadline, cancel);
	for (unsigned i = 0; i < race.started; i++)
		if (race.slots[i].fd >= 0)
			close(race.slots[i].fd);
	return fd;
}
