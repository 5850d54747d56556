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
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/list.h"
#include "common/log.h"
#include "server/net/address.h"
#include "server/net/conn.h"
#include "server/reactor.h"

#define BACKLOG 1024
#define IN_USE_SECONDS 2
#define IN_USE_TRIES_PER_SECOND 10
/* After an accept that failed for lack of descriptors or memory. */
#define RETRY_NS 100000000u
/* Of sockets that carry data: large replies leave in fewer pieces.  The system may allow less. */
#define UNIX_SEND_BUFFER (4 << 20)

struct listener {
	struct list_head link;
	int fd;
	char *path;              /* of a unix socket */
	dev_t device;            /* of its file, and... */
	ino_t inode;             /* ...which it is: another server may have replaced it */
	struct reactor *reactor;
	struct engine_op accept_op, retry_op;
	bool is_unix;
	bool accepting, retrying, stopping;
};

static struct list_head listeners = LIST_HEAD_INIT(listeners);

/* While it still listens: whoever finds the file later takes it for the next server's. */
static void remove_file(struct listener *listener)
{
	struct stat status;

	if (listener->path && lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
}

/* Clients that come now are refused, those in the backlog see the end. */
static void close_if_stopped(struct listener *listener)
{
	if (listener->accepting || listener->retrying || listener->fd < 0)
		return;
	close(listener->fd);
	listener->fd = -1;
}

static void accept_next(struct listener *listener)
{
	if (listener->stopping) {
		close_if_stopped(listener);
		return;
	}
	listener->accepting = true;
	engine_accept(listener->reactor->engine, &listener->accept_op, listener->fd);
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
			conn_accept(listener->reactor, result, listener->is_unix ? "unix" : address_of_peer(result, peer));
	} else if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
		log_warning("no new connection can be accepted just now: %s", strerror(-result));
		listener->retrying = true;
		engine_timer(listener->reactor->engine, &listener->retry_op, RETRY_NS);
		return;
	}
	/* Other errors are one client's, which hung up while it waited. */
	accept_next(listener);
}

/* Takes FD and PATH, which may be NULL, unless it fails. */
static int listener_add(int fd, char *path)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	struct stat status;

	if (!listener)
		return -ENOMEM;
	listener->fd = fd;
	listener->path = path;
	listener->is_unix = path != NULL;
	if (path && lstat(path, &status) == 0) {
		listener->device = status.st_dev;
		listener->inode = status.st_ino;
	}
	listener->accept_op.done = accept_done;
	listener->retry_op.done = retry_done;
	list_add_tail(&listener->link, &listeners);
	return 0;
}

/*
 * A server that was just killed may still listen: the kernel ends what it had
 * in flight first.  Whoever finds an address in use tries again for a while.
 */
static bool in_use_for_long(int result, unsigned *tries)
{
	static const struct timespec pause = { .tv_nsec = 1000000000 / IN_USE_TRIES_PER_SECOND };

	if (result != -EADDRINUSE || ++*tries > IN_USE_SECONDS * IN_USE_TRIES_PER_SECOND)
		return true;
	nanosleep(&pause, NULL);
	return false;
}

/* What stands in a socket's way: -ECONNREFUSED: a socket that nobody listens on any more. */
static int look_at(const struct sockaddr_un *address)
{
	/* A server that is stopped and has a full backlog would have us wait. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat status;
	int result = -EADDRINUSE;

	if (fd < 0)
		return -errno;
	if (lstat(address->sun_path, &status) == 0 && !S_ISSOCK(status.st_mode))
		result = -ENOTSOCK;
	else if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		 (errno == ECONNREFUSED || errno == EACCES || errno == EPERM))
		result = -errno;
	close(fd);
	return result;
}

static int bind_path(int fd, const struct sockaddr_un *address)
{
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	if (result == -EADDRINUSE)
		result = look_at(address);
	if (result != -ECONNREFUSED)
		return result;
	if (unlink(address->sun_path) < 0)
		return -errno;
	log_info("%s: replaced the socket of a server that is gone", address->sun_path);
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

static int bind_unix(int fd, const struct address *parsed)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t saved = umask(0777 & ~parsed->mode);
	unsigned tries = 0;
	int result;

	/* address_parse() has seen to it that it fits. */
	memcpy(address.sun_path, parsed->host, strnlen(parsed->host, sizeof(address.sun_path) - 1));
	do {
		result = bind_path(fd, &address);
	} while (result < 0 && !in_use_for_long(result, &tries));
	umask(saved);
	if (result == 0 && listen(fd, BACKLOG) < 0) {
		result = -errno;
		unlink(parsed->host);
	}
	return result;
}

static int listen_unix(const struct address *parsed, struct platter_error *error)
{
	char *path = strdup(parsed->host);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result = fd < 0 ? -errno : path ? bind_unix(fd, parsed) : -ENOMEM;

	if (result == 0) {
		result = listener_add(fd, path);
		if (result < 0)
			unlink(parsed->host);
	}
	if (result == 0)
		return 0;
	if (fd >= 0)
		close(fd);
	free(path);
	if (result == -ENOTSOCK)
		return platter_fail(error, ENOTSOCK, "unix:%s: there is something else of this name, not a socket", parsed->host);
	return platter_fail(error, -result, "unix:%s: %s", parsed->host,
			    result == -EADDRINUSE ? "another server listens there" : strerror(-result));
}

static int bind_inet(const struct addrinfo *info)
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
		result = listener_add(fd, NULL);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/* Binds to all that INFOS names and this machine has: how many, or what went wrong. */
static int bind_all(const struct addrinfo *infos)
{
	int last = -EADDRNOTAVAIL;
	int bound = 0;

	for (const struct addrinfo *info = infos; info; info = info->ai_next) {
		unsigned tries = 0;
		int result;

		do {
			result = bind_inet(info);
		} while (result < 0 && !in_use_for_long(result, &tries));
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

static int bind_host(const char *host, const char *port, struct platter_error *error)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *infos;
	int result = getaddrinfo(host, port, &hints, &infos);

	if (result != 0)
		return platter_fail(error, EINVAL, "tcp:%s:%s: %s", host, port, gai_strerror(result));
	result = bind_all(infos);
	freeaddrinfo(infos);
	return result < 0 ? platter_fail(error, -result, "tcp:%s:%s: %s", host, port,
					 result == -EADDRINUSE ? "another server has this port" : strerror(-result)) :
			    0;
}

static int listen_tcp(const struct address *parsed, struct platter_error *error)
{
	int result;

	if (strcmp(parsed->host, "*") != 0)
		return bind_host(parsed->host, parsed->port, error);
	/* :: takes the IPv4 addresses, too; a machine may have no IPv6 at all. */
	result = bind_host("::", parsed->port, error);
	return result == -EAFNOSUPPORT ? bind_host("0.0.0.0", parsed->port, error) : result;
}

static void log_listener(const struct listener *listener)
{
	char text[ADDRESS_TEXT];

	if (listener->path)
		log_notice("listening on unix:%s", listener->path);
	else
		log_notice("listening on tcp:%s", address_of_socket(listener->fd, text));
}

void listen_log(void)
{
	struct list_head *node;

	list_for_each(node, &listeners)
		log_listener(container_of(node, struct listener, link));
}

int listen_add(const char *text, struct platter_error *error)
{
	struct address address;
	int result = address_parse(&address, text, error);

	if (result < 0)
		return result;
	return address.is_unix ? listen_unix(&address, error) : listen_tcp(&address, error);
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
		remove_file(listener);
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

		remove_file(listener);
		if (listener->fd >= 0)
			close(listener->fd);
		free(listener);
	}
}
