/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
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

/* The client's flags go with its first option. */
struct negotiation {
	struct stream *stream;
	bool greeted;
};

static void send_option(struct negotiation *negotiation, uint32_t option, const void *data, uint32_t length)
{
	uint8_t message[NBD_CLIENT_FLAGS_SIZE + NBD_OPTION_HEADER_SIZE + 4 + NBD_MAX_STRING + 2];
	uint8_t *at = message;

	if (!negotiation->greeted) {
		put_be32(at, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
		at += NBD_CLIENT_FLAGS_SIZE;
	}
	negotiation->greeted = true;
	put_be64(at, NBD_OPTS_MAGIC);
	put_be32(at + 8, option);
	put_be32(at + 12, length);
	at += NBD_OPTION_HEADER_SIZE;
	if (length)
		memcpy(at, data, length);
	stream_send_all(negotiation->stream, message, (size_t)(at - message) + length);
}

/* One reply to OPTION. */
struct option_reply {
	uint32_t type, length;
	uint8_t payload[NBD_MAX_STRING + 1];
};

/* Ends the program when the server refuses WHAT. */
static void receive_reply(const struct negotiation *negotiation, uint32_t option, const char *what, struct option_reply *reply)
{
	uint8_t header[NBD_OPTION_REPLY_SIZE];

	stream_receive_all(negotiation->stream, header, sizeof(header));
	reply->type = get_be32(header + 12);
	reply->length = get_be32(header + 16);
	if (get_be64(header) != NBD_REP_MAGIC || get_be32(header + 8) != option || reply->length >= sizeof(reply->payload))
		errx(1, "the server's reply to option %" PRIu32 " is none", option);
	stream_receive_all(negotiation->stream, reply->payload, reply->length);
	reply->payload[reply->length] = '\0';
	if (reply->type & NBD_REP_FLAG_ERROR)
		errx(1, "%s: refused with error %" PRIu32 ": %s", what, reply->type & ~NBD_REP_FLAG_ERROR,
		     (const char *)reply->payload);
}

/* An option that has no data and one reply. */
static void demand(struct negotiation *negotiation, uint32_t option, const char *what)
{
	struct option_reply reply;

	send_option(negotiation, option, NULL, 0);
	receive_reply(negotiation, option, what, &reply);
	if (reply.type != NBD_REP_ACK)
		errx(1, "%s: the server's reply is of the unknown type %" PRIu32, what, reply.type);
}

static void go(struct negotiation *negotiation, const char *name, struct export *export)
{
	uint32_t length = (uint32_t)strlen(name);
	uint8_t data[4 + NBD_MAX_STRING + 2];
	struct option_reply reply;
	char what[NBD_MAX_STRING + 16];

	put_be32(data, length);
	memcpy(data + 4, name, length);
	put_be16(data + 4 + length, 0); /* no information asked for: the size comes anyway */
	send_option(negotiation, NBD_OPT_GO, data, 4 + length + 2);
	snprintf(what, sizeof(what), "export \"%s\"", name);
	do {
		receive_reply(negotiation, NBD_OPT_GO, what, &reply);
		if (reply.type == NBD_REP_INFO && reply.length >= 12 && get_be16(reply.payload) == NBD_INFO_EXPORT) {
			export->size = get_be64(reply.payload + 2);
			export->flags = get_be16(reply.payload + 10);
		}
	} while (reply.type != NBD_REP_ACK);
	if (export->size == 0)
		errx(1, "%s: the server told no size, or 0", what);
}

static void negotiate(const struct options *options, struct stream *stream, const char *name, struct export *export)
{
	struct negotiation negotiation = { .stream = stream };
	uint8_t greeting[NBD_GREETING_SIZE];

	stream_receive_all(stream, greeting, sizeof(greeting));
	if (get_be64(greeting) != NBD_MAGIC || get_be64(greeting + 8) != NBD_OPTS_MAGIC ||
	    !(get_be16(greeting + 16) & NBD_FLAG_FIXED_NEWSTYLE))
		errx(1, "not an NBD server of the fixed newstyle");
	if (options->certificates) {
		demand(&negotiation, NBD_OPT_STARTTLS, "TLS");
		stream->tls = tls_connect(stream->fd, options->certificates);
	}
	if (options->extended)
		demand(&negotiation, NBD_OPT_EXTENDED_HEADERS, "extended headers");
	else if (options->structured)
		demand(&negotiation, NBD_OPT_STRUCTURED_REPLY, "structured replies");
	go(&negotiation, name, export);
}

struct stream load_connect(const struct options *options, const char *export_name, struct export *export)
{
	struct stream stream = { .fd = options->unix_path ? connect_unix(options->unix_path) : connect_tcp(options->tcp) };
	struct timeval limit = { .tv_sec = NEGOTIATION_SECONDS };

	if (options->sndbuf)
		setsockopt(stream.fd, SOL_SOCKET, SO_SNDBUF, &options->sndbuf, sizeof(options->sndbuf));
	setsockopt(stream.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*export = (struct export){ 0 };
	negotiate(options, &stream, export_name, export);
	/* From here on load_run() watches, without a timer in each system call. */
	limit.tv_sec = 0;
	setsockopt(stream.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return stream;
}

void load_disconnect(struct stream *stream)
{
	uint8_t request[NBD_REQUEST_SIZE] = { 0 };
	const struct iovec vector = { request, sizeof(request) };

	put_be32(request, NBD_REQUEST_MAGIC);
	put_be16(request + 6, NBD_CMD_DISC);
	stream_send(stream, &vector, 1);
	stream_close(stream);
}
