/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/nbd/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <platter/host.h>

#include "plugins/nbd/command.h"
#include "plugins/nbd/work.h"

#define MS UINT64_C(1000000)
/* Between two tries: at first, and at most. */
#define FIRST_PAUSE_NS (100 * MS)
#define LONGEST_PAUSE_NS (5000 * MS)
/* For the server to close the connection at its end. */
#define GOODBYE_NS (1000 * MS)
/* A server that has vanished, or the way to it, is noticed after so many seconds at most. */
#define SILENCE_S 30

int connection_init(struct connection *c, struct nbd_disk *disk, unsigned number)
{
	*c = (struct connection){ .disk = disk, .number = number + 1, .seed = (unsigned)work_clock_ns() + number };
	work_list_init(&c->sent);
	work_list_init(&c->queue);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c->wake < 0 ? -errno : 0;
}

void connection_wake(struct connection *c)
{
	/* It fails only when it has been woken very often. */
	(void)!eventfd_write(c->wake, 1);
}

static bool has_ended(const struct connection *c)
{
	return nbd_aio_is_dead(c->handle) || nbd_aio_is_closed(c->handle);
}

static void set_reason(struct connection *c, const char *reason)
{
	pthread_mutex_lock(&c->disk->lock);
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
	pthread_mutex_unlock(&c->disk->lock);
}

static int milliseconds_until(uint64_t until)
{
	uint64_t now = work_clock_ns();
	uint64_t left = until > now ? (until - now + MS - 1) / MS : 0;

	/* Whoever wakes up too early looks at the clock again. */
	return left < 60000 ? (int)left : 60000;
}

static short events_of(unsigned direction)
{
	return (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) | (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

/* Has libnbd go on; one step, since it may be somewhere else afterwards. */
static void go_on(struct connection *c, unsigned direction, short events)
{
	char reason[UPSTREAM_REASON];
	int result = 0;

	if ((direction & LIBNBD_AIO_DIRECTION_READ) && (events & (POLLIN | POLLHUP | POLLERR)))
		result = nbd_aio_notify_read(c->handle);
	else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) && (events & (POLLOUT | POLLHUP | POLLERR)))
		result = nbd_aio_notify_write(c->handle);
	if (result < 0) {
		upstream_error(reason);
		set_reason(c, reason);
	}
}

/* Waits until something happens, it is UNTIL or C is woken, and does what comes of it. */
static void turn(struct connection *c, uint64_t until)
{
	struct pollfd fds[2] = { { .fd = c->wake, .events = POLLIN }, { .fd = -1 } };
	/* While it is there nothing waits. */
	uint64_t deadline = c->ready ? UINT64_MAX : work_deadline(c->disk);
	unsigned direction = 0;
	eventfd_t value;

	if (c->handle) {
		direction = nbd_aio_get_direction(c->handle);
		fds[1] = (struct pollfd){ .fd = nbd_aio_get_fd(c->handle), .events = events_of(direction) };
	}
	if (poll(fds, 2, milliseconds_until(until < deadline ? until : deadline)) < 0)
		return;
	if (fds[0].revents)
		(void)!eventfd_read(c->wake, &value);
	if (fds[1].revents)
		go_on(c, direction, fds[1].revents);
	if (!c->ready)
		work_expire(c->disk);
}

/* Half-open connections don't last, whether there are requests or not. */
static void keep_alive(struct connection *c)
{
	static const struct { int level, name, value; } options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, SILENCE_S / 3 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, SILENCE_S / 6 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_S * 1000 },
	};
	int fd = nbd_aio_get_fd(c->handle);

	/* A unix socket has none of it, and needs none. */
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

/* With a goodbye, if the server is there to hear it. */
static void hang_up(struct connection *c)
{
	uint64_t until = work_clock_ns() + GOODBYE_NS;

	if (nbd_aio_is_ready(c->handle) && nbd_aio_disconnect(c->handle, 0) == 0)
		while (!has_ended(c) && work_clock_ns() < until)
			turn(c, until);
	nbd_close(c->handle);
	c->handle = NULL;
}

void connection_destroy(struct connection *c)
{
	if (!c->disk)
		return;
	if (c->handle)
		hang_up(c);
	if (c->wake >= 0)
		close(c->wake);
	*c = (struct connection){ .disk = NULL };
}

/* Until the handshake is over. */
static int shake_hands(struct connection *c, unsigned seconds)
{
	uint64_t until = work_clock_ns() + seconds * 1000 * MS;
	char late[64];

	while (!nbd_aio_is_ready(c->handle)) {
		if (c->disk->stopping)
			return -ECANCELED;
		if (has_ended(c)) {
			if (!*c->reason)
				set_reason(c, "the server has closed the connection");
			return -ECONNREFUSED;
		}
		if (work_clock_ns() >= until) {
			snprintf(late, sizeof(late), "no connection and handshake within %u s", seconds);
			set_reason(c, late);
			return -ETIMEDOUT;
		}
		turn(c, until);
	}
	return 0;
}

int connection_dial(struct connection *c, struct upstream *upstream, unsigned seconds)
{
	char reason[UPSTREAM_REASON];
	int result;

	c->over = c->useful = false;
	set_reason(c, "");
	c->handle = upstream_dial(c->disk->uri, reason);
	if (!c->handle) {
		set_reason(c, reason);
		return -EINVAL;
	}
	result = shake_hands(c, seconds);
	if (result == 0) {
		keep_alive(c);
		result = upstream_read(c->handle, upstream, reason);
		if (result < 0)
			set_reason(c, reason);
	}
	if (result < 0)
		hang_up(c);
	return result;
}

/* The same again: what is found must be what there was. */
static int dial_again(struct connection *c)
{
	struct upstream was, now;
	char before[UPSTREAM_REASON], reason[UPSTREAM_REASON];
	int result;

	pthread_mutex_lock(&c->disk->lock);
	was = c->disk->upstream;
	strcpy(before, c->reason);
	pthread_mutex_unlock(&c->disk->lock);
	result = connection_dial(c, &now, DIAL_SECONDS);
	if (result == 0 && !upstream_goes_on(&was, &now, reason)) {
		hang_up(c);
		set_reason(c, reason);
		result = -EINVAL;
	}
	/* Nobody else writes it. */
	if (result < 0 && result != -ECANCELED && strcmp(before, c->reason) != 0)
		platter_log(result == -EINVAL ? PLATTER_LOG_ERROR : PLATTER_LOG_WARNING, "%s: connection %u: %s; will try again", c->disk->name,
			    c->number, c->reason);
	return result;
}

/* At least half as long as is said, so that many who were cut off together don't come together. */
static void rest(struct connection *c, uint64_t pause_ns)
{
	uint64_t until = work_clock_ns() + pause_ns / 2 + pause_ns / 2 / 1024 * ((unsigned)rand_r(&c->seed) % 1024);

	while (!c->disk->stopping && work_clock_ns() < until)
		turn(c, until);
}

/* Until the connection has ended, or the disk is stopping. */
static void serve(struct connection *c)
{
	struct job *job;

	for (;;) {
		while (!has_ended(c) && (job = work_take(c)))
			command_send(c, job);
		if (has_ended(c) || c->over || c->disk->stopping)
			return;
		turn(c, UINT64_MAX);
	}
}

static void *run(void *argument)
{
	struct connection *c = argument;
	struct nbd_disk *disk = c->disk;
	uint64_t pause_ns = 0;

	while (!disk->stopping) {
		rest(c, pause_ns);
		pause_ns = pause_ns ? pause_ns * 2 : FIRST_PAUSE_NS;
		pause_ns = pause_ns < LONGEST_PAUSE_NS ? pause_ns : LONGEST_PAUSE_NS;
		if (disk->stopping || (!c->handle && dial_again(c) < 0))
			continue;
		if (c->times)
			platter_log(PLATTER_LOG_NOTICE, "%s: connection %u: is there again", disk->name, c->number);
		work_ready(c);
		serve(c);
		if (!disk->stopping)
			platter_log(PLATTER_LOG_WARNING, "%s: connection %u: %s: dialing again", disk->name, c->number,
				    c->over ? "the server is shutting down" : *c->reason ? c->reason : "the server has closed it");
		/* From now on libnbd has nothing of the jobs any more. */
		hang_up(c);
		work_lost(c);
		/* One that does nothing but end isn't made in a hurry. */
		if (c->useful)
			pause_ns = 0;
	}
	return NULL;
}

int connection_start(struct connection *c)
{
	return -pthread_create(&c->thread, NULL, run, c);
}

void connection_join(struct connection *c)
{
	pthread_join(c->thread, NULL);
}
