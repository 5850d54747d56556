/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/control/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/clock.h"

#define STEP (16u << 10)

struct peer *peer_new(int fd)
{
	static const struct timeval limit = { .tv_sec = PEER_SECONDS };
	struct peer *peer = calloc(1, sizeof(*peer));
	struct ucred credentials = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(credentials);

	if (!peer) {
		close(fd);
		return NULL;
	}
	peer->fd = fd;
	list_init(&peer->link);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0)
		peer->uid = credentials.uid;
	peer->may_change = peer->uid == 0 || peer->uid == geteuid();
	return peer;
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	close(peer->fd);
	free(peer->buffer);
	free(peer);
}

/* Milliseconds until UNTIL, as poll() wants them. */
static int left_ms(uint64_t until)
{
	uint64_t now = clock_ns();

	return until <= now ? 0 : (int)((until - now) / 1000000u + 1);
}

/* More bytes; 0 at the end, -errno.  UNTIL 0: there is time. */
static int receive(struct peer *peer, uint64_t until)
{
	struct pollfd ready = { .fd = peer->fd, .events = POLLIN };
	ssize_t result;

	if (peer->room - peer->used < STEP) {
		char *larger = realloc(peer->buffer, peer->room + STEP);

		if (!larger)
			return -ENOMEM;
		peer->buffer = larger;
		peer->room += STEP;
	}
	result = poll(&ready, 1, until ? left_ms(until) : -1);
	if (result <= 0)
		return result == 0 ? -ETIMEDOUT : -errno;
	result = recv(peer->fd, peer->buffer + peer->used, peer->room - peer->used, 0);
	if (result < 0)
		return -errno;
	peer->used += (size_t)result;
	return (int)result;
}

/* Forgets the line that the last call returned. */
static void forget_line(struct peer *peer)
{
	peer->used -= peer->line;
	if (peer->used)
		memmove(peer->buffer, peer->buffer + peer->line, peer->used);
	peer->line = 0;
	if (peer->used)
		return;
	free(peer->buffer);
	peer->buffer = NULL;
	peer->room = 0;
}

const char *peer_read(struct peer *peer, size_t *length, int *error)
{
	uint64_t until = 0;
	const char *end;

	*error = 0;
	forget_line(peer);
	while (!(end = peer->used ? memchr(peer->buffer, '\n', peer->used) : NULL)) {
		int result;

		if (peer->used > PEER_MOST_LINE) {
			*error = -EMSGSIZE;
			return NULL;
		}
		if (peer->used && !until)
			until = clock_ns() + PEER_SECONDS * UINT64_C(1000000000);
		result = receive(peer, until);
		if (result <= 0) {
			*error = result == -ETIMEDOUT || result == -ENOMEM ? result : 0;
			return NULL;
		}
	}
	*length = (size_t)(end - peer->buffer);
	peer->line = *length + 1;
	return peer->buffer;
}

bool peer_send(struct peer *peer, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : 0;
	size_t sent = 0;

	json_decref(value);
	if (!text)
		return false;
	text[length++] = '\n';
	while (sent < length) {
		ssize_t result = send(peer->fd, text + sent, length - sent, MSG_NOSIGNAL);

		if (result < 0)
			break;
		sent += (size_t)result;
	}
	free(text);
	return sent == length;
}

bool peer_gone(const struct peer *peer)
{
	struct pollfd state = { .fd = peer->fd };

	return poll(&state, 1, 0) > 0;
}
