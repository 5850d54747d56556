/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/load.h"
#include "common/wire.h"

#define NEGOTIATION_SECONDS 10

uint64_t load_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		errx(1, "%s: too long for a socket's path", path);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", path);
	return fd;
}

static int connect_tcp(const char *host_port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char *host = strdup(host_port);
	char *colon = host ? strrchr(host, ':') : NULL;
	const char *name = host;
	int fd, error, one = 1;

	if (!colon)
		errx(1, "%s: not HOST:PORT", host_port);
	*colon = '\0';
	if (host[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		name = host + 1;
	}
	error = getaddrinfo(name, colon + 1, &hints, &found);
	if (error)
		errx(1, "%s: %s", host_port, gai_strerror(error));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		err(1, "%s", host_port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	freeaddrinfo(found);
	free(host);
	return fd;
}

static void receive_all(int fd, void *to, size_t length)
{
	ssize_t got;

	if (length == 0)
		return; /* recv would wait for more */
	got = recv(fd, to, length, MSG_WAITALL);
	if (got < 0 && errno == EAGAIN)
		errx(1, "the server doesn't answer during the negotiation");
	if (got < 0)
		err(1, "recv");
	if ((size_t)got != length)
		errx(1, "the server hung up during the negotiation");
}

static void send_all(int fd, const void *from, size_t length)
{
	if (send(fd, from, length, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "send");
}

static void send_flags_and_go(int fd, const char *name)
{
	uint32_t name_length = (uint32_t)strlen(name);
	uint8_t message[NBD_CLIENT_FLAGS_SIZE + NBD_OPTION_HEADER_SIZE + 4 + NBD_MAX_STRING + 2];
	uint8_t *at = message;

	put_be32(at, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	at += NBD_CLIENT_FLAGS_SIZE;
	put_be64(at, NBD_OPTS_MAGIC);
	put_be32(at + 8, NBD_OPT_GO);
	put_be32(at + 12, 4 + name_length + 2);
	at += NBD_OPTION_HEADER_SIZE;
	put_be32(at, name_length);
	memcpy(at + 4, name, name_length);
	put_be16(at + 4 + name_length, 0); /* no information asked for: the size comes anyway */
	at += 4 + name_length + 2;
	send_all(fd, message, (size_t)(at - message));
}

/* Takes one reply to GO; whether it was the last. */
static bool receive_go_reply(int fd, const char *name, struct export *export)
{
	uint8_t header[NBD_OPTION_REPLY_SIZE];
	uint8_t payload[NBD_MAX_STRING + 1];
	uint32_t type, length;

	receive_all(fd, header, sizeof(header));
	type = get_be32(header + 12);
	length = get_be32(header + 16);
	if (get_be64(header) != NBD_REP_MAGIC || get_be32(header + 8) != NBD_OPT_GO || length >= sizeof(payload))
		errx(1, "the server's reply to NBD_OPT_GO is none");
	receive_all(fd, payload, length);
	payload[length] = '\0';
	if (type & NBD_REP_FLAG_ERROR)
		errx(1, "export \"%s\": refused with error %" PRIu32 ": %s", name, type & ~NBD_REP_FLAG_ERROR,
		     (const char *)payload);
	if (type == NBD_REP_INFO && length >= 12 && get_be16(payload) == NBD_INFO_EXPORT) {
		export->size = get_be64(payload + 2);
		export->flags = get_be16(payload + 10);
	}
	return type == NBD_REP_ACK;
}

static void negotiate(int fd, const char *name, struct export *export)
{
	uint8_t greeting[NBD_GREETING_SIZE];

	receive_all(fd, greeting, sizeof(greeting));
	if (get_be64(greeting) != NBD_MAGIC || get_be64(greeting + 8) != NBD_OPTS_MAGIC ||
	    !(get_be16(greeting + 16) & NBD_FLAG_FIXED_NEWSTYLE))
		errx(1, "not an NBD server of the fixed newstyle");
	send_flags_and_go(fd, name);
	while (!receive_go_reply(fd, name, export))
		;
	if (export->size == 0)
		errx(1, "export \"%s\": the server told no size, or 0", name);
}

int load_connect(const struct options *options, const char *export_name, struct export *export)
{
	int fd = options->unix_path ? connect_unix(options->unix_path) : connect_tcp(options->tcp);
	struct timeval limit = { .tv_sec = NEGOTIATION_SECONDS };

	if (options->sndbuf)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options->sndbuf, sizeof(options->sndbuf));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*export = (struct export){ 0 };
	negotiate(fd, export_name, export);
	/* From here on load_run() watches, without a timer in each system call. */
	limit.tv_sec = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

void load_disconnect(int fd)
{
	uint8_t request[NBD_REQUEST_SIZE] = { 0 };

	put_be32(request, NBD_REQUEST_MAGIC);
	put_be16(request + 6, NBD_CMD_DISC);
	send(fd, request, sizeof(request), MSG_NOSIGNAL);
	close(fd);
}
