/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/platter/uri.h"
#include "common/clock.h"

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

static int send_out(struct conversation *talk)
{
	struct handshake *handshake = &talk->link->handshake;
	size_t sent = 0;

	while (sent < handshake->out_length) {
		ssize_t result = send(talk->link->fd, handshake->out + sent, handshake->out_length - sent, MSG_NOSIGNAL);

		if (result >= 0)
			sent += (size_t)result;
		else if (errno != EAGAIN && errno != EINTR)
			return problem_set(talk->problem, STATUS_UNREACHABLE, "%s: %s", talk->link->peer, strerror(errno));
		else if (wait_for(talk, POLLOUT) < 0)
			return -1;
	}
	handshake->out_length = 0;
	return 0;
}

/* Not a byte beyond the message that is awaited: what comes behind it may be TLS's. */
static int receive(struct conversation *talk)
{
	size_t wanted = handshake_wants(&talk->link->handshake, talk->bytes, talk->length);

	while (talk->length < wanted) {
		ssize_t result = recv(talk->link->fd, talk->bytes + talk->length, wanted - talk->length, 0);

		if (result > 0)
			talk->length += (size_t)result;
		else if (result == 0)
			return problem_set(talk->problem, STATUS_REFUSED, "%s: the server hung up in the handshake", talk->link->peer);
		else if (errno != EAGAIN && errno != EINTR)
			return problem_set(talk->problem, STATUS_UNREACHABLE, "%s: %s", talk->link->peer, strerror(errno));
		else if (wait_for(talk, POLLIN) < 0)
			return -1;
	}
	return 0;
}

static int converse(struct conversation *talk)
{
	struct handshake *handshake = &talk->link->handshake;

	while (handshake->state == HANDSHAKE_MORE) {
		size_t used;

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

int link_open(struct link *link, const struct dial *dial, const struct uri *uri, enum handshake_goal goal, int cancel,
	      struct problem *problem)
{
	struct conversation talk = { .link = link, .deadline = clock_ns() + LINK_SECONDS * UINT64_C(1000000000), .cancel = cancel,
				     .problem = problem };
	int flags;

	link->identity[0] = '\0';
	handshake_init(&link->handshake, goal, uri->export, uri->tls);
	link->fd = dial_connect(dial, talk.deadline, cancel, problem);
	if (link->fd < 0)
		return -1;
	dial_peer(link->fd, link->peer);
	if (converse(&talk) < 0)
		return -1;
	handshake_identity(link->handshake.export.description, link->identity);
	flags = fcntl(link->fd, F_GETFL);
	if (flags < 0 || fcntl(link->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return problem_set(problem, STATUS_FAILED, "%s: %s", link->peer, strerror(errno));
	return 0;
}

void link_close(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	handshake_free(&link->handshake);
}
