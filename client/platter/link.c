/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/platter/relay.h"
#include "client/platter/secure.h"
#include "client/platter/uri.h"
#include "common/clock.h"
#include "common/log.h"

/* What is being read, of the largest reply that a server may send. */
struct conversation {
	struct link *link;
	uint64_t deadline;
	int cancel;
	struct problem *problem;
	uint8_t bytes[NBD_OPTION_REPLY_SIZE + HANDSHAKE_MOST_REPLY];
	size_t length;
};

static int wait_for(struct conversation *talk, short events)
{
	struct pollfd slots[] = { { .fd = talk->link->fd, .events = events }, { .fd = talk->cancel, .events = POLLIN } };
	uint64_t now = clock_ns();
	int result = now >= talk->deadline ? 0 : poll(slots, 2, (int)((talk->deadline - now) / 1000000) + 1);

	if (result < 0 && errno != EINTR)
		return problem_set(talk->problem, STATUS_FAILED, "poll: %s", strerror(errno));
	if (slots[1].revents)
		return problem_set(talk->problem, STATUS_FAILED, "it was called off");
	if (result == 0)
		return problem_set(talk->problem, STATUS_UNREACHABLE, "%s: it was silent for %d s in the handshake", talk->link->peer,
				   LINK_SECONDS);
	return 0;
}

/* Of a call that failed with errno: waits, or says why there is nothing to wait for. */
static int failed(struct conversation *talk, short events)
{
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(talk, events);
	/* TLS has said why. */
	if (errno == EPROTO && talk->link->secure)
		return -1;
	return problem_set(talk->problem, STATUS_UNREACHABLE, "%s: %s", talk->link->peer, strerror(errno));
}

static int send_out(struct conversation *talk)
{
	struct handshake *handshake = &talk->link->handshake;
	size_t sent = 0;

	while (sent < handshake->out_length) {
		const uint8_t *bytes = handshake->out + sent;
		size_t left = handshake->out_length - sent;
		short events = POLLOUT;
		ssize_t result = talk->link->secure ? secure_send(talk->link->secure, bytes, left, &events, talk->problem)
						    : send(talk->link->fd, bytes, left, MSG_NOSIGNAL);

		if (result >= 0)
			sent += (size_t)result;
		else if (failed(talk, events) < 0)
			return -1;
	}
	handshake->out_length = 0;
	return 0;
}

/* Who says nothing at all may be a tunnel whose other end isn't there. */
static int hung_up(struct conversation *talk)
{
	bool silent = talk->link->handshake.phase == GREETING && talk->length == 0;

	return problem_set(talk->problem, silent ? STATUS_UNREACHABLE : STATUS_REFUSED, "%s: the server hung up %s", talk->link->peer,
			   silent ? "before it said anything" : "in the handshake");
}

/* Not a byte beyond the message that is awaited: what comes behind it may be TLS's. */
static int receive(struct conversation *talk)
{
	size_t wanted = handshake_wants(&talk->link->handshake, talk->bytes, talk->length);

	while (talk->length < wanted) {
		uint8_t *room = talk->bytes + talk->length;
		size_t left = wanted - talk->length;
		short events = POLLIN;
		ssize_t result = talk->link->secure ? secure_receive(talk->link->secure, room, left, &events, talk->problem)
						    : recv(talk->link->fd, room, left, 0);

		if (result > 0)
			talk->length += (size_t)result;
		else if (result == 0)
			return hung_up(talk);
		else if (failed(talk, events) < 0)
			return -1;
	}
	return 0;
}

static int begin_tls(struct conversation *talk, const struct uri *uri)
{
	struct link *link = talk->link;
	short events = POLLIN;

	link->secure = secure_new(link->fd, uri, talk->problem);
	if (!link->secure)
		return -1;
	while (secure_handshake(link->secure, &events, talk->problem) < 0)
		if (failed(talk, events) < 0)
			return -1;
	secure_describe(link->secure, link->tls);
	handshake_secured(&link->handshake);
	return 0;
}

static int converse(struct conversation *talk, const struct uri *uri)
{
	struct handshake *handshake = &talk->link->handshake;

	while (handshake->state == HANDSHAKE_MORE || handshake->state == HANDSHAKE_TLS) {
		size_t used;

		if (handshake->state == HANDSHAKE_TLS && begin_tls(talk, uri) < 0)
			return -1;
		if (send_out(talk) < 0 || receive(talk) < 0)
			return -1;
		used = handshake_feed(handshake, talk->bytes, talk->length);
		memmove(talk->bytes, talk->bytes + used, talk->length - used);
		talk->length -= used;
	}
	if (handshake->state == HANDSHAKE_FAILED) {
		*talk->problem = handshake->problem;
		return -1;
	}
	return send_out(talk);
}

static int set_blocking(struct link *link, struct problem *problem)
{
	int flags = fcntl(link->fd, F_GETFL);

	if (flags >= 0 && fcntl(link->fd, F_SETFL, flags & ~O_NONBLOCK) == 0)
		return 0;
	return problem_set(problem, STATUS_FAILED, "%s: %s", link->peer, strerror(errno));
}

/* From here on the kernel's driver reads and writes plain text. */
static int leave_tls(struct link *link, struct problem *problem)
{
	char cipher[SECURE_TEXT];
	struct secure *secure = link->secure;
	int result = secure_hand_over(secure), fd = link->fd;

	if (result == -ENOTRECOVERABLE)
		return problem_set(problem, STATUS_KERNEL, "%s: the kernel does TLS in one direction only", link->peer);
	link->secure = NULL;
	secure_describe(secure, cipher);
	snprintf(link->tls, sizeof(link->tls), "%s, by %s", cipher, result == 0 ? "the kernel" : "a relay");
	if (result == 0) {
		secure_free(secure);
		return 0;
	}
	log_info("%s: no kernel TLS: %s", link->peer, strerror(-result));
	link->fd = relay_begin(secure, fd, problem);
	return link->fd < 0 ? -1 : 0;
}

int link_open(struct link *link, const struct dial *dial, const struct uri *uri, enum handshake_goal goal, int cancel,
	      struct problem *problem)
{
	uint64_t now = clock_ns();
	struct conversation talk = { .link = link, .deadline = now + LINK_SECONDS * UINT64_C(1000000000), .cancel = cancel, .problem = problem };

	link->identity[0] = link->tls[0] = '\0';
	link->secure = NULL;
	handshake_init(&link->handshake, goal, uri->export, uri->tls);
	link->fd = dial_connect(dial, now + LINK_CONNECT_SECONDS * UINT64_C(1000000000), cancel, problem);
	if (link->fd < 0)
		return -1;
	dial_peer(link->fd, link->peer);
	if (converse(&talk, uri) < 0)
		return -1;
	handshake_identity(link->handshake.export.description, link->identity);
	if (goal != HANDSHAKE_GO)
		return 0;
	if (link->secure && leave_tls(link, problem) < 0)
		return -1;
	return set_blocking(link, problem);
}

void link_close(struct link *link)
{
	if (link->secure)
		secure_close(link->secure);
	secure_free(link->secure);
	link->secure = NULL;
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	handshake_free(&link->handshake);
}
