/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/block/error.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/net/address.h"
#include "server/net/unix_socket.h"

/* Administrators at the same time. */
#define MOST_PEERS 64
#define MOST_READERS 32
#define DEFAULT_MODE 0600
#define SOCKET_PATH sizeof(((struct sockaddr_un *)NULL)->sun_path)
#define FILE_NAME "control.sock"

static struct {
	struct unix_socket socket;
	int wake;                  /* an eventfd, for the thread that accepts */
	pthread_t thread;          /* accepts */
	bool started;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t gone;
	struct list_head peers;    /* under the lock; each has a thread */
	unsigned count, readers;   /* of them; who may not change anything */
} control = {
	.socket = { .fd = -1 },
	.wake = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.gone = PTHREAD_COND_INITIALIZER,
	.peers = LIST_HEAD_INIT(control.peers),
};

bool control_stopping(void)
{
	return atomic_load(&control.stopping);
}

/* Where administrators look for a server that was told nothing; false, saying why, when there is no such place. */
static bool default_path(char *path, size_t size)
{
	const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

	if (!runtime || *runtime != '/') {
		log_notice("no control socket: XDG_RUNTIME_DIR is %s; see --control", runtime ? "no absolute path" : "not set");
		return false;
	}
	if (strlen(runtime) + sizeof("/platter/" FILE_NAME) > SOCKET_PATH) {
		log_notice("no control socket: XDG_RUNTIME_DIR is too long for a socket's path; see --control");
		return false;
	}
	snprintf(path, size, "%s/platter", runtime);
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		log_warning("no control socket: %s: %s; see --control", path, strerror(errno));
		return false;
	}
	snprintf(path, size, "%s/platter/" FILE_NAME, runtime);
	return true;
}

static void open_default(void)
{
	struct platter_error error = { "" };
	char path[SOCKET_PATH];
	int result;

	if (!default_path(path, sizeof(path)))
		return;
	result = unix_socket_listen(&control.socket, path, DEFAULT_MODE, &error);
	if (result < 0)
		log_warning("no control socket: %s: %s; see --control", path,
			    result == -EADDRINUSE ? "another server has it" : strerror(-result));
}

int control_open(const char *text, struct platter_error *error)
{
	struct address address;
	int result;

	if (!text) {
		open_default();
		return 0;
	}
	result = address_parse_unix(&address, text, error);
	if (result == 0 && address.tls[0])
		return platter_fail(error, EINVAL, "%s: there is no TLS on it", text);
	return result < 0 ? result : unix_socket_listen(&control.socket, address.host, address.mode, error);
}

void control_adopt(int fd)
{
	control.socket = (struct unix_socket){ .fd = fd };
}

bool control_is_open(void)
{
	return control.socket.fd >= 0;
}

/* NULL: it is in; otherwise why not. */
static const char *peer_list(struct peer *peer)
{
	const char *refusal = NULL;

	pthread_mutex_lock(&control.lock);
	/* Those who only look don't keep out those who may change things. */
	if (control.stopping)
		refusal = "the server is shutting down";
	else if (control.count >= MOST_PEERS || (!peer->may_change && control.readers >= MOST_READERS))
		refusal = "there are too many administrators already";
	if (!refusal) {
		control.count++;
		control.readers += !peer->may_change;
		list_add_tail(&peer->link, &control.peers);
	}
	pthread_mutex_unlock(&control.lock);
	return refusal;
}

static void peer_unlist(struct peer *peer)
{
	pthread_mutex_lock(&control.lock);
	list_del_init(&peer->link);
	control.readers -= !peer->may_change;
	peer_free(peer);
	control.count--;
	pthread_cond_broadcast(&control.gone);
	pthread_mutex_unlock(&control.lock);
}

static void *serve(void *argument)
{
	struct peer *peer = argument;
	const char *line;
	size_t length;
	int error;

	pthread_setname_np(pthread_self(), "control-peer");
	while ((line = peer_read(peer, &length, &error)))
		if (!method_call(peer, line, length))
			break;
	if (!line && error < 0)
		(void)peer_send(peer, method_error(NULL, -error, error == -EMSGSIZE ? "a line of more than 1 MiB" :
								 error == -ETIMEDOUT ? "the rest of the line did not come" : ""));
	/* Libraries clean up behind a thread's last line, which nobody waits for here: this one could be too late. */
	OPENSSL_thread_stop();
	peer_unlist(peer);
	return NULL;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	int result;

	pthread_attr_init(&attributes);
	if (!thread)
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	result = pthread_create(thread ? thread : &(pthread_t){ 0 }, &attributes, run, argument);
	pthread_attr_destroy(&attributes);
	return -result;
}

static void welcome(int fd)
{
	struct peer *peer = peer_new(fd);
	const char *refusal;

	if (!peer)
		return;
	refusal = peer_list(peer);
	if (refusal) {
		(void)peer_send(peer, method_error(NULL, EAGAIN, refusal));
		peer_free(peer);
	} else if (start_thread(NULL, serve, peer) < 0) {
		(void)peer_send(peer, method_error(NULL, EAGAIN, "no thread can be had"));
		peer_unlist(peer);
	}
}

static void *accept_all(void *argument)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };
	struct pollfd watched[] = { { .fd = control.socket.fd, .events = POLLIN }, { .fd = control.wake, .events = POLLIN } };

	(void)argument;
	pthread_setname_np(pthread_self(), "control");
	while (!control_stopping()) {
		int fd;

		if (poll(watched, 2, -1) < 0 || !(watched[0].revents & POLLIN))
			continue;
		fd = accept4(control.socket.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			welcome(fd);
		else if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED && !control_stopping())
			nanosleep(&pause, NULL); /* out of descriptors or memory */
	}
	return NULL;
}

int control_start(void)
{
	int result = 0;

	if (control.socket.fd < 0)
		return 0;
	control.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Whoever was there may have gone when it is accepted. */
	if (control.wake < 0 || fcntl(control.socket.fd, F_SETFL, O_NONBLOCK) < 0)
		result = -errno;
	if (result == 0)
		result = start_thread(&control.thread, accept_all, NULL);
	control.started = result == 0;
	return result;
}

void control_stop(void)
{
	struct list_head *node;

	pthread_mutex_lock(&control.lock);
	control.stopping = true;
	unix_socket_unlink(&control.socket);
	/* Not by a shutdown of the socket, which may be another's, too. */
	if (control.wake >= 0)
		(void)eventfd_write(control.wake, 1);
	/* Threads that wait for input see its end; an answer can still be sent. */
	list_for_each(node, &control.peers)
		shutdown(container_of(node, struct peer, link)->fd, SHUT_RD);
	pthread_mutex_unlock(&control.lock);
}

/* Answers that are on their way have a second; then whoever doesn't read hears no more. */
static void wait_for_peers(void)
{
	struct list_head *node;
	struct timespec until;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&control.lock);
	while (control.count && result != ETIMEDOUT)
		result = pthread_cond_clockwait(&control.gone, &control.lock, CLOCK_MONOTONIC, &until);
	list_for_each(node, &control.peers)
		shutdown(container_of(node, struct peer, link)->fd, SHUT_RDWR);
	while (control.count)
		pthread_cond_wait(&control.gone, &control.lock);
	pthread_mutex_unlock(&control.lock);
}

void control_close(void)
{
	if (control.started) {
		control.started = false;
		pthread_join(control.thread, NULL);
		wait_for_peers();
	}
	unix_socket_close(&control.socket);
	if (control.wake >= 0)
		close(control.wake);
	control.wake = -1;
}
