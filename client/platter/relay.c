/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/platter/secure.h"

#define BUFFER (256u << 10)
#define STACK (256u << 10)

/* Bytes on their way in one direction. */
struct way {
	uint8_t bytes[BUFFER];
	size_t start, end;
};

struct relay {
	struct secure *secure;
	int server, kernel;      /* sockets */
	/* What TLS has to wait for before it can send, or receive: not always that. */
	short to_send, to_receive;
	struct way out, in;      /* to the server, and from it */
	bool over;
};

static bool is_empty(const struct way *way)
{
	return way->start == way->end;
}

static void failed(struct relay *relay)
{
	if (errno != EAGAIN && errno != EINTR)
		relay->over = true;
}

static void took(struct relay *relay, struct way *way, ssize_t result)
{
	if (result == 0)
		relay->over = true;
	if (result < 0)
		failed(relay);
	way->start = 0;
	way->end = result > 0 ? (size_t)result : 0;
}

static void gave(struct relay *relay, struct way *way, ssize_t result)
{
	if (result > 0)
		way->start += (size_t)result;
	else
		failed(relay);
}

/* Each buffer is filled when it is empty, and emptied when it isn't. */
static void pump(struct relay *relay)
{
	struct problem ignored;

	if (is_empty(&relay->out))
		took(relay, &relay->out, recv(relay->kernel, relay->out.bytes, BUFFER, 0));
	if (!is_empty(&relay->out)) {
		relay->to_send = POLLOUT;
		gave(relay, &relay->out, secure_send(relay->secure, relay->out.bytes + relay->out.start, relay->out.end - relay->out.start,
						     &relay->to_send, &ignored));
	}
	if (is_empty(&relay->in)) {
		relay->to_receive = POLLIN;
		took(relay, &relay->in, secure_receive(relay->secure, relay->in.bytes, BUFFER, &relay->to_receive, &ignored));
	}
	if (!is_empty(&relay->in))
		gave(relay, &relay->in, send(relay->kernel, relay->in.bytes + relay->in.start, relay->in.end - relay->in.start, MSG_NOSIGNAL));
}

static void *run(void *argument)
{
	struct relay *relay = argument;

	while (!relay->over) {
		struct pollfd slots[] = {
			{ .fd = relay->kernel },
			{ .fd = relay->server },
		};

		pump(relay);
		slots[0].events = (short)((is_empty(&relay->out) ? POLLIN : 0) | (is_empty(&relay->in) ? 0 : POLLOUT));
		slots[1].events = (short)((is_empty(&relay->out) ? 0 : relay->to_send) | (is_empty(&relay->in) ? relay->to_receive : 0));
		/* Of one that nothing is wanted from for now poll() would go on telling that its other end has hung up. */
		for (size_t i = 0; i < 2; i++)
			if (!slots[i].events)
				slots[i].fd = -1;
		if (!relay->over && poll(slots, 2, -1) < 0 && errno != EINTR)
			relay->over = true;
	}
	secure_close(relay->secure);
	secure_free(relay->secure);
	close(relay->server);
	close(relay->kernel);
	free(relay);
	return NULL;
}

static int refuse(struct relay *relay, int theirs, struct problem *problem)
{
	problem_set(problem, STATUS_FAILED, "a relay for TLS: %s", strerror(errno));
	secure_free(relay->secure);
	close(relay->server);
	if (relay->kernel >= 0)
		close(relay->kernel);
	if (theirs >= 0)
		close(theirs);
	free(relay);
	return -1;
}

int relay_begin(struct secure *secure, int fd, struct problem *problem)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int ends[2] = { -1, -1 };
	pthread_attr_t attributes;
	pthread_t thread;

	if (!relay) {
		secure_free(secure);
		close(fd);
		return problem_memory(problem);
	}
	*relay = (struct relay){ .secure = secure, .server = fd, .kernel = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return refuse(relay, -1, problem);
	relay->kernel = ends[0];
	/* The kernel's end blocks. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return refuse(relay, ends[1], problem);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	errno = pthread_create(&thread, &attributes, run, relay);
	pthread_attr_destroy(&attributes);
	return errno ? refuse(relay, ends[1], problem) : ends[1];
}
