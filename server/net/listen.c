/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/list.h"
#include "common/log.h"
#include "server/net/address.h"
#include "server/net/conn.h"
#include "server/net/credentials.h"
#include "server/net/unix_socket.h"
#include "server/reactor.h"

#define BACKLOG 1024
/* After an accept that failed for lack of descriptors or memory. */
#define RETRY_NS 100000000u
/* Of sockets that carry data: large replies leave in fewer pieces.  The system may allow less. */
#define UNIX_SEND_BUFFER (4 << 20)

struct listener {
	struct list_head link;
	struct unix_socket socket; /* of a TCP one, too, but then it has no file */
	struct reactor *reactor;
	struct engine_op accept_op, retry_op;
	bool is_unix;
	enum nbd_tls tls;
	bool accepting, retrying, stopping;
};

static const char *const tls_modes[] = { [NBD_TLS_OFF] = "off", [NBD_TLS_ON] = "on", [NBD_TLS_REQUIRED] = "required" };

static struct list_head listeners = LIST_HEAD_INIT(listeners);

/* Clients that come now are refused, those in the backlog see the end. */
static void close_if_stopped(struct listener *listener)
{
	if (listener->accepting || listener->retrying || listener->socket.fd < 0)
		return;
	close(listener->socket.fd);
	listener->socket.fd = -1;
}

static void accept_next(struct listener *listener)
{
	if (listener->stopping) {
		close_if_stopped(listener);
		return;
	}
	listener->accepting = true;
	engine_accept(listener->reactor->engine, &listener->accept_op, listener->socket.fd);
}

static void retry_done(struct engine_op *op, int result)
{
	struct listener *listener = container_of(op, struct listener, retry_op);

	(void)result;
	listener->retrying = false;
	accept_next(listener);
}

static void prepare_socket(const struct listener *listener, int fd)
{
	static const int on = 1;

	if (listener->is_unix) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ UNIX_SEND_BUFFER }, sizeof(int));
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void accept_done(struct engine_op *op, int result)
{
	struct listener *listener = container_of(op, struct listener, accept_op);
	char peer[ADDRESS_TEXT];

	listener->accepting = false;
	if (result >= 0) {
		prepare_socket(listener, result);
		if (listener->stopping)
			close(result);
		else
			conn_accept(listener->reactor, result, listener->is_unix ? "unix" : address_of_peer(result, peer),
				    listener->tls);
	} else if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
		log_ratelimited(WARNING, "no new connection can be accepted just now: %s", strerror(-result));
		listener->retrying = true;
		engine_timer(listener->reactor->engine, &listener->retry_op, RETRY_NS);
		return;
	}
	/* Other errors are one client's, which hung up while it waited. */
	accept_next(listener);
}

/* Takes FD; or BOUND, which has the same one, for a unix socket.  Unless it fails. */
static int listener_add(int fd, const struct unix_socket *bound, enum nbd_tls tls)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	listener->socket = bound ? *bound : (struct unix_socket){ .fd = fd };
	listener->is_unix = bound != NULL;
	listener->tls = tls;
	listener->accept_op.done = accept_done;
	listener->retry_op.done = retry_done;
	list_add_tail(&listener->link, &listeners);
	return 0;
}

static int listen_unix(const struct address *parsed, enum nbd_tls tls, struct platter_error *error)
{
	struct unix_socket bound;
	int result = unix_socket_listen(&bound, parsed->host, parsed->mode, error);

	if (result < 0)
		return result;
	result = listener_add(bound.fd, &bound, tls);
	if (result < 0) {
		unix_socket_close(&bound);
		return platter_fail(error, -result, "unix:%s: %s", parsed->host, strerror(-result));
	}
	return 0;
}

static int bind_inet(const struct addrinfo *info, enum nbd_tls tls)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool any6 = info->ai_family == AF_INET6 &&
		    IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr);
	int result = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	/* [::] means every address, the IPv4 ones too. */
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ !any6 }, sizeof(int));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		result = -errno;
	if (result == 0)
		result = listener_add(fd, NULL, tls);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/* Binds to all that INFOS names and this machine has: how many, or what went wrong. */
static int bind_all(const struct addrinfo *infos, enum nbd_tls tls)
{
	int last = -EADDRNOTAVAIL;
	int bound = 0;

	for (const struct addrinfo *info = infos; info; info = info->ai_next) {
		unsigned tries = 0;
		int result;

		do {
			result = bind_inet(info, tls);
		} while (result < 0 && !address_in_use_for_long(result, &tries));
		if (result >= 0) {
			bound++;
		} else if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL) {
			last = result;
		} else {
			return result;
		}
	}
	return bound ? bound : last;
}

static int bind_host(const char *host, const char *port, enum nbd_tls tls, struct platter_error *error)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *infos;
	int result = getaddrinfo(host, port, &hints, &infos);

	if (result != 0)
		return platter_fail(error, EINVAL, "tcp:%s:%s: %s", host, port, gai_strerror(result));
	result = bind_all(infos, tls);
	freeaddrinfo(infos);
	return result < 0 ? platter_fail(error, -result, "tcp:%s:%s: %s", host, port,
					 result == -EADDRINUSE ? "another server has this port" : strerror(-result)) :
			    0;
}

static int listen_tcp(const struct address *parsed, enum nbd_tls tls, struct platter_error *error)
{
	int result;

	if (strcmp(parsed->host, "*") != 0)
		return bind_host(parsed->host, parsed->port, tls, error);
	/* :: takes the IPv4 addresses, too; a machine may have no IPv6 at all. */
	result = bind_host("::", parsed->port, tls, error);
	return result == -EAFNOSUPPORT ? bind_host("0.0.0.0", parsed->port, tls, error) : result;
}

static void log_listener(const struct listener *listener)
{
	const char *tls = listener->tls == NBD_TLS_OFF ? "" : listener->tls == NBD_TLS_ON ? ", TLS on" : ", TLS required";
	char text[ADDRESS_TEXT];

	if (listener->socket.path)
		log_notice("listening on unix:%s%s", listener->socket.path, tls);
	else
		log_notice("listening on tcp:%s%s", address_of_socket(listener->socket.fd, text), tls);
}

void listen_log(void)
{
	struct list_head *node;

	list_for_each(node, &listeners)
		log_listener(container_of(node, struct listener, link));
}

int listen_parse_tls(enum nbd_tls *tls, const char *mode, struct platter_error *error)
{
	for (unsigned i = 0; i < sizeof(tls_modes) / sizeof(tls_modes[0]); i++) {
		if (strcmp(mode, tls_modes[i]) == 0) {
			*tls = (enum nbd_tls)i;
			return 0;
		}
	}
	return platter_fail(error, EINVAL, "tls=%s: write off, on or required", mode);
}

int listen_add(const char *text, enum nbd_tls tls, struct platter_error *error)
{
	struct address address;
	int result = address_parse(&address, text, error);

	if (result == 0 && address.tls[0])
		result = listen_parse_tls(&tls, address.tls, error);
	if (result < 0)
		return result;
	if (tls != NBD_TLS_OFF && !credentials_exist())
		return platter_fail(error, EINVAL, "%s: TLS needs --tls-certificates or --tls-psk", text);
	return address.is_unix ? listen_unix(&address, tls, error) : listen_tcp(&address, tls, error);
}

void listen_start(struct reactor *reactor)
{
	struct list_head *node;

	list_for_each(node, &listeners) {
		struct listener *listener = container_of(node, struct listener, link);

		listener->reactor = reactor;
		accept_next(listener);
	}
}

void listen_stop(void)
{
	struct list_head *node;

	list_for_each(node, &listeners) {
		struct listener *listener = container_of(node, struct listener, link);

		listener->stopping = true;
		unix_socket_unlink(&listener->socket);
		if (listener->accepting)
			engine_cancel(listener->reactor->engine, &listener->accept_op);
		if (listener->retrying)
			engine_cancel(listener->reactor->engine, &listener->retry_op);
		close_if_stopped(listener);
	}
}

bool listen_busy(void)
{
	struct list_head *node;

	list_for_each(node, &listeners) {
		struct listener *listener = container_of(node, struct listener, link);

		if (listener->accepting || listener->retrying)
			return true;
	}
	return false;
}

void listen_cleanup(void)
{
	struct list_head *node;

	while ((node = list_pop(&listeners))) {
		struct listener *listener = container_of(node, struct listener, link);

		unix_socket_close(&listener->socket);
		free(listener);
	}
}
