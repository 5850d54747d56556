/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#include "client/platter/device.h"
#include "client/platter/inquiry.h"
#include "client/platter/netlink.h"
#include "client/platter/state.h"
#include "client/platter/users.h"
#include "common/clock.h"

/* linux/nbd.h has it, and names that common/wire.h has, too. */
#define NBD_CLEAR_SOCK _IO(0xab, 4)
#define SECOND UINT64_C(1000000000)
#define LOOKERS_NS SECOND

static int refuse_busy(unsigned index, const char *who, struct problem *problem)
{
	return problem_set(problem, STATUS_BUSY, "/dev/nbd%u is in use: %s; end that first, or lose data with --force", index, who);
}

/* As systemd wants it of those who change a device: udev's own looks at it wait, and end. */
static bool lock_node(int fd, uint64_t deadline)
{
	const struct timespec pause = { 0, 20000000 };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		if (clock_ns() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Whoever only looks at it, as udev does, has soon seen enough. */
static enum users wait_for_lookers(unsigned index, char *who, size_t size)
{
	const struct timespec pause = { 0, 50000000 };
	uint64_t deadline = clock_ns() + LOOKERS_NS;
	enum users users;

	while ((users = users_find(index, who, size)) == USERS_OPEN && clock_ns() < deadline)
		nanosleep(&pause, NULL);
	return users;
}

/* Nobody else may claim it from here on, until it is closed. */
static int claim(unsigned index, uint64_t deadline, struct problem *problem)
{
	char path[DEVICE_PATH], who[400];
	int fd;

	if (wait_for_lookers(index, who, sizeof(who)) != USERS_NONE)
		return refuse_busy(index, who, problem);
	fd = open(device_path(path, index), O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY)
		return refuse_busy(index, "something that neither mounts nor swap explain, perhaps in another mount namespace", problem);
	if (fd < 0)
		return problem_set(problem, errno == EACCES || errno == EPERM ? STATUS_PERMISSION : STATUS_FAILED, "%s: %s", path, strerror(errno));
	if (lock_node(fd, deadline))
		return fd;
	close(fd);
	return problem_set(problem, STATUS_BUSY, "%s: somebody has locked it for %d s", path, DETACH_SECONDS);
}

/* The kernel drops what it hasn't sent yet. */
static int flush(unsigned index, int fd, struct problem *problem)
{
	if (fsync(fd) == 0) {
		(void)ioctl(fd, BLKFLSBUF);
		return 0;
	}
	return problem_set(problem, STATUS_FAILED, "/dev/nbd%u: what was written last doesn't reach the server: %s; it stays attached (--force gives "
			   "that up)", index, strerror(errno));
}

static int wait_gone(unsigned index, uint64_t deadline, struct problem *problem)
{
	if (device_wait_gone(index, deadline))
		return 0;
	return problem_set(problem, STATUS_TIMEOUT, "/dev/nbd%u has been disconnected, but somebody still has it open", index);
}

/* For a driver that is stuck, which old kernels' are: it takes the sockets away. */
static void clear_sockets(unsigned index)
{
	char path[DEVICE_PATH];
	int fd = open(device_path(path, index), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)ioctl(fd, NBD_CLEAR_SOCK);
	close(fd);
}

static int detach_forced(struct netlink *netlink, unsigned index, struct problem *problem)
{
	if (netlink_disconnect(netlink, index, problem) == 0 && device_wait_gone(index, clock_ns() + 2 * SECOND))
		return 0;
	clear_sockets(index);
	return wait_gone(index, clock_ns() + 2 * SECOND, problem);
}

static int detach_idle(struct netlink *netlink, unsigned index, struct problem *problem)
{
	uint64_t deadline = clock_ns() + DETACH_SECONDS * SECOND;
	int fd = claim(index, deadline, problem), result;

	if (fd < 0)
		return -1;
	result = flush(index, fd, problem);
	if (result == 0)
		result = netlink_disconnect(netlink, index, problem);
	close(fd);
	return result < 0 ? result : wait_gone(index, deadline, problem);
}

/* Its number may have become another's already. */
static void forget(unsigned index)
{
	struct problem ignored;
	int lock = state_lock(&ignored);

	if (!device_is_attached(index))
		state_remove(index);
	if (lock >= 0)
		close(lock);
}

static int detach_now(const struct state *state, bool force, struct problem *problem)
{
	/* Until the end: the supervisor leaves the device alone, and goes when it has gone. */
	int supervisor = inquiry_open(state->index);
	struct netlink *netlink = NULL;
	int result;

	if (supervisor >= 0) {
		json_t *answer = inquiry_ask(supervisor, "hold", problem);

		if (!answer) {
			close(supervisor);
			return -1;
		}
		json_decref(answer);
	}
	result = netlink_open(&netlink, problem);
	if (result == 0)
		result = force ? detach_forced(netlink, state->index, problem) : detach_idle(netlink, state->index, problem);
	if (result == 0)
		forget(state->index);
	netlink_close(netlink);
	if (supervisor >= 0)
		close(supervisor);
	return result;
}

/* Its supervisor isn't kept from its work meanwhile: those who use it may need that to come to an end. */
static void wait_for_users(unsigned index, const struct detach *how, uint64_t deadline)
{
	const struct timespec pause = { 0, 100000000 };
	char who[400];

	do {
		nanosleep(&pause, NULL);
		if (how->unmounts)
			users_end(index);
	} while (clock_ns() < deadline && device_is_attached(index) && users_find(index, who, sizeof(who)) != USERS_NONE);
}

int detach_device(const struct state *state, const struct detach *how, struct problem *problem)
{
	uint64_t deadline = clock_ns() + how->patience * SECOND;

	if (how->unmounts)
		users_end(state->index);
	for (;;) {
		if (detach_now(state, how->force, problem) == 0)
			return 0;
		if (problem->status != STATUS_BUSY || clock_ns() >= deadline)
			return -1;
		wait_for_users(state->index, how, deadline);
		if (!device_is_attached(state->index))
			return problem_set(problem, STATUS_NOT_ATTACHED, "/dev/nbd%u: somebody else has just detached it", state->index);
	}
}
