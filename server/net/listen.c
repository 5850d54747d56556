/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/listen.h"

#include <errno.h>
#include <fcntl.h>
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
	char *text;                /* its address, as it was asked for; several may come from one */
	struct unix_socket socket; /* of a TCP one, too, but then it has no file */
	struct reactor *reactor;
	struct engine_op accept_op, retry_op;
	bool is_unix, adopted;
	enum nbd_tls tls;
	bool accepting, retrying, stopping;
	bool removed;              /* freed as soon as it is closed */
};

static const char *const tls_modes[] = { [NBD_TLS_OFF] = "off", [NBD_TLS_ON] = "on", [NBD_TLS_REQUIRED] = "required" };

/* Those that accept clients, which the first reactor alone touches once it runs; those that are bound and don't yet. */
static struct list_head listeners = LIST_HEAD_INIT(listeners), bound = LIST_HEAD_INIT(bound);
static bool stopped;

/* NULL is allowed. */
static void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	list_del_init(&listener->link);
	unix_socket_close(&listener->socket);
	free(listener->text);
	free(listener);
}

/* Clients that come now are refused, those in the backlog see the end.  It may be gone afterwards. */
static void close_if_stopped(struct listener *listener)
{
	if (listener->accepting || listener->retrying)
		return;
	if (listener->socket.fd >= 0)
		close(listener->socket.fd);
	listener->socket.fd = -1;
	if (listener->removed)
		listener_free(listener);
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

/* Takes FD; or FILE, which has the same one, for a unix socket.  Unless it fails. */
static int listener_add(const char *text, int fd, const struct unix_socket *file, enum nbd_tls tls)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	list_init(&listener->link);
	listener->socket.fd = -1;
	listener->text = strdup(text);
	if (!listener->text) {
		listener_free(listener);
		return -ENOMEM;
	}
	listener->socket = file ? *file : (struct unix_socket){ .fd = fd };
	listener->is_unix = file != NULL;
	listener->tls = tls;
	listener->accept_op.done = accept_done;
	listener->retry_op.done = retry_done;
	list_add_tail(&listener->link, &bound);
	return 0;
}

static int listen_unix(const char *text, const struct address *parsed, enum nbd_tls tls, struct platter_error *error)
{
	struct unix_socket file;
	int result = unix_socket_listen(&file, parsed->host, parsed->mode, error);

	if (result < 0)
		return result;
	result = listener_add(text, file.fd, &file, tls);
	if (result < 0) {
		unix_socket_close(&file);
		return platter_fail(error, -result, "unix:%s: %s", parsed->host, strerror(-result));
	}
	return 0;
}

static int bind_inet(const char *text, const struct addrinfo *info, enum nbd_tls tls)
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
		result = listener_add(text, fd, NULL, tls);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/* Binds to all that INFOS names and this machine has: how many, or what went wrong. */
static int bind_all(const char *text, const struct addrinfo *infos, enum nbd_tls tls)
{
	int last = -EADDRNOTAVAIL;
	int count = 0;

	for (const struct addrinfo *info = infos; info; info = info->ai_next) {
		unsigned tries = 0;
		int result;

		do {
			result = bind_inet(text, info, tls);
		} while (result < 0 && !address_in_use_for_long(result, &tries));
		if (result >= 0) {
			count++;
		} else if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL) {
			last = result;
		} else {
			return result;
		}
	}
	return count ? count : last;
}

static int bind_host(const char *text, const char *host, const char *port, enum nbd_tls tls, struct platter_error *error)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *infos;
	int result = getaddrinfo(host, port, &hints, &infos);

	if (result != 0)
		return platter_fail(error, EINVAL, "tcp:%s:%s: %s", host, port, gai_strerror(result));
	result = bind_all(text, infos, tls);
	freeaddrinfo(infos);
	return result < 0 ? platter_fail(error, -result, "tcp:%s:%s: %s", host, port,
					 result == -EADDRINUSE ? "another server has this port" : strerror(-result)) :
			    0;
}

static int listen_tcp(const char *text, const struct address *parsed, enum nbd_tls tls, struct platter_error *error)
{
	int result;

	if (strcmp(parsed->host, "*") != 0)
		return bind_host(text, parsed->host, parsed->port, tls, error);
	/* :: takes the IPv4 addresses, too; a machine may have no IPv6 at all. */
	result = bind_host(text, "::", parsed->port, tls, error);
	return result == -EAFNOSUPPORT ? bind_host(text, "0.0.0.0", parsed->port, tls, error) : result;
}

static void log_listener(const struct listener *listener)
{
	const char *tls = listener->tls == NBD_TLS_OFF ? "" : listener->tls == NBD_TLS_ON ? ", TLS on" : ", TLS required";
	char text[ADDRESS_TEXT];

	if (listener->adopted)
		log_notice("listening on a socket that was there: %s%s", listener->text, tls);
	else if (listener->socket.path)
		log_notice("listening on unix:%s%s", listener->socket.path, tls);
	else
		log_notice("listening on tcp:%s%s", address_of_socket(listener->socket.fd, text), tls);
}

void listen_log(void)
{
	struct list_head *node;

	list_for_each(node, &bound)
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

static int parse(const char *text, struct address *address, enum nbd_tls *tls, struct platter_error *error)
{
	int result = address_parse(address, text, error);

	return result == 0 && address->tls[0] ? listen_parse_tls(tls, address->tls, error) : result;
}

int listen_check(const char *text, enum nbd_tls *tls, struct platter_error *error)
{
	struct address address;

	return parse(text, &address, tls, error);
}

/* What of TEXT is bound and doesn't accept. */
static void discard(const char *text)
{
	struct list_head *node, *next;

	list_for_each_safe(node, next, &bound)
		if (strcmp(container_of(node, struct listener, link)->text, text) == 0)
			listener_free(container_of(node, struct listener, link));
}

int listen_add(const char *text, enum nbd_tls tls, struct platter_error *error)
{
	struct address address;
	int result = parse(text, &address, &tls, error);

	if (result < 0)
		return result;
	if (tls != NBD_TLS_OFF && !credentials_exist())
		return platter_fail(error, EINVAL, "%s: TLS needs --tls-certificates or --tls-psk", text);
	result = address.is_unix ? listen_unix(text, &address, tls, error) : listen_tcp(text, &address, tls, error);
	/* Of several addresses that a name stands for some may have been had. */
	if (result < 0)
		discard(text);
	return result;
}

int listen_adopt(int fd, const char *name, enum nbd_tls tls, struct platter_error *error)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct listener *listener;
	int result;

	if (tls != NBD_TLS_OFF && !credentials_exist())
		return platter_fail(error, EINVAL, "%s: TLS needs --tls-certificates or --tls-psk", name);
	/* An accept that finds nobody is to wait. */
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 || fcntl(fd, F_SETFL, 0) < 0)
		return platter_fail(error, errno, "%s: %s", name, strerror(errno));
	result = listener_add(name, fd, NULL, tls);
	if (result < 0)
		return platter_fail(error, -result, "%s: %s", name, strerror(-result));
	listener = container_of(bound.prev, struct listener, link);
	listener->is_unix = address.ss_family == AF_UNIX;
	listener->adopted = true;
	return 0;
}

static void stop(struct listener *listener)
{
	listener->stopping = true;
	unix_socket_unlink(&listener->socket);
	if (listener->accepting)
		engine_cancel(listener->reactor->engine, &listener->accept_op);
	if (listener->retrying)
		engine_cancel(listener->reactor->engine, &listener->retry_op);
	close_if_stopped(listener);
}

void listen_start(struct reactor *reactor)
{
	struct list_head *node;

	/* Too late: listen_cleanup() sees to them. */
	if (stopped)
		return;
	while ((node = list_pop(&bound))) {
		struct listener *listener = container_of(node, struct listener, link);

		list_add_tail(&listener->link, &listeners);
		listener->reactor = reactor;
		accept_next(listener);
	}
}

void listen_remove(const char *text)
{
	struct list_head *node, *next;

	list_for_each_safe(node, next, &listeners) {
		struct listener *listener = container_of(node, struct listener, link);

		if (strcmp(listener->text, text) != 0 || listener->stopping)
			continue;
		listener->removed = true;
		stop(listener);
	}
}

void listen_set_tls(const char *text, enum nbd_tls tls)
{
	struct list_head *node;

	list_for_each(node, &listeners)
		if (strcmp(container_of(node, struct listener, link)->text, text) == 0)
			container_of(node, struct listener, link)->tls = tls;
}

void listen_stop(void)
{
	struct list_head *node, *next;

	stopped = true;
	list_for_each_safe(node, next, &listeners)
		stop(container_of(node, struct listener, link));
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
	while (!list_empty(&listeners))
		listener_free(list_first_entry(&listeners, struct listener, link));
	while (!list_empty(&bound))
		listener_free(list_first_entry(&bound, struct listener, link));
}
