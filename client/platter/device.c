/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

#include "client/platter/alias.h"
#include "common/clock.h"
#include "common/log.h"

#define PAUSE_NS 20000000
/* How long the node itself may take, which the kernel makes at once. */
#define NODE_NS UINT64_C(5000000000)
/* Larger requests bring nothing more, and delay the small ones behind them. */
#define USUAL_BYTES (1u << 20)

int device_index(const char *text)
{
	unsigned long number;
	char *end;

	if (strncmp(text, "/dev/", 5) == 0)
		text += 5;
	if (strncmp(text, "nbd", 3) != 0 || text[3] < '0' || text[3] > '9' || (text[3] == '0' && text[4]))
		return -1;
	number = strtoul(text + 3, &end, 10);
	/* The driver has minor numbers for so many at most. */
	return *end == '\0' && number < 1 << 20 ? (int)number : -1;
}

char *device_path(char *path, unsigned index)
{
	snprintf(path, DEVICE_PATH, "/dev/nbd%u", index);
	return path;
}

static int open_attribute(unsigned index, const char *name, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/block/nbd%u/%s", index, name);
	return open(path, flags | O_CLOEXEC);
}

/* Without the end of its line; false: there is none. */
static bool read_attribute(unsigned index, const char *name, char *text, size_t size)
{
	int fd = open_attribute(index, name, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	if (length < 0)
		return false;
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

static bool write_attribute(unsigned index, const char *name, const char *text)
{
	int fd = open_attribute(index, name, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

bool device_is_attached(unsigned index)
{
	char text[32];

	return read_attribute(index, "pid", text, sizeof(text));
}

bool device_backend(unsigned index, char *backend)
{
	return device_is_attached(index) && read_attribute(index, "backend", backend, DEVICE_BACKEND) && *backend;
}

uint64_t device_size(unsigned index)
{
	char text[32];

	return read_attribute(index, "size", text, sizeof(text)) ? strtoull(text, NULL, 10) * 512 : 0;
}

void device_each(bool (*each)(unsigned index, void *argument), void *argument)
{
	DIR *directory = opendir("/sys/block");
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		int index = device_index(entry->d_name);

		if (index >= 0 && !each((unsigned)index, argument))
			break;
	}
	if (directory)
		closedir(directory);
}

bool device_took(int socket, uint64_t timeout)
{
	struct timeval limit = { 0 };
	socklen_t length = sizeof(limit);

	/* nbd_reconnect_socket() has the device's timeout be the socket's. */
	return getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, &length) == 0 && (uint64_t)limit.tv_sec == timeout;
}

uint32_t device_request(uint32_t maximum)
{
	return maximum && maximum < USUAL_BYTES ? maximum : USUAL_BYTES;
}

void device_tune(unsigned index, uint32_t maximum)
{
	uint64_t kib = device_request(maximum) / 1024, most;
	char text[32];

	/* The kernel's default is 128 KiB up to Linux 6.8, and a server's own limit may be below. */
	if (!read_attribute(index, "queue/max_hw_sectors_kb", text, sizeof(text)))
		return;
	most = strtoull(text, NULL, 10);
	snprintf(text, sizeof(text), "%" PRIu64, kib < most ? kib : most);
	write_attribute(index, "queue/max_sectors_kb", text);
}

static void pause_a_little(void)
{
	const struct timespec pause = { 0, PAUSE_NS };

	nanosleep(&pause, NULL);
}

/* Whether udev has done all that it had to. */
static bool run_settle(uint64_t deadline)
{
	char name[] = "udevadm", settle[] = "settle", timeout[32];
	char *const words[] = { name, settle, timeout, NULL }, *const none[] = { NULL };
	uint64_t now = clock_ns();
	int status = -1;
	pid_t pid;

	snprintf(timeout, sizeof(timeout), "--timeout=%" PRIu64, now < deadline ? (deadline - now) / 1000000000 + 1 : 0);
	/* With no environment: it would tell systemd of its own end, as if that were the supervisor's. */
	if (posix_spawnp(&pid, name, NULL, NULL, words, none) != 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

static bool has_link(unsigned index, const char *name)
{
	char link[PATH_MAX], target[PATH_MAX], path[DEVICE_PATH];

	snprintf(link, sizeof(link), ALIAS_BY_ID "%s", name);
	return realpath(link, target) && strcmp(target, device_path(path, index)) == 0;
}

/* What other devices keep it busy with is no fault of this one, if that has its link. */
static int wait_for_udev(unsigned index, const char *name, uint64_t deadline, struct problem *problem)
{
	bool settled = run_settle(deadline);

	while (!settled && !has_link(index, name)) {
		if (clock_ns() > deadline)
			return problem_set(problem, STATUS_TIMEOUT, "/dev/nbd%u: udev is late, and has made no " ALIAS_BY_ID "%s", index, name);
		pause_a_little();
	}
	if (!has_link(index, name))
		log_warning("/dev/nbd%u: udev has made no " ALIAS_BY_ID "%s; platter check tells what it lacks", index, name);
	return 0;
}

static void tell_of_partitions(unsigned index)
{
	char path[PATH_MAX], prefix[32];
	struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/block/nbd%u", index);
	snprintf(prefix, sizeof(prefix), "nbd%up", index);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/uevent", entry->d_name);
		write_attribute(index, path, "change");
	}
	if (directory)
		closedir(directory);
}

/* Opening it has the kernel look for partitions.  STATUS_TIMEOUT: it may yet become usable. */
static int try_node(unsigned index, struct problem *problem)
{
	uint64_t size = 0, wanted = device_size(index);
	char path[DEVICE_PATH], block[512];
	int fd = open(device_path(path, index), O_RDONLY | O_CLOEXEC), result = 0;

	if (fd < 0)
		return problem_set(problem, STATUS_TIMEOUT, "%s isn't usable: %s", path,
				   errno == ENOENT ? "there is no such node; is /dev a devtmpfs?" : strerror(errno));
	if (ioctl(fd, BLKGETSIZE64, &size) < 0 || size != wanted)
		result = problem_set(problem, STATUS_TIMEOUT, "%s isn't usable: it has %" PRIu64 " bytes, and should have %" PRIu64, path, size,
				     wanted);
	else if (pread(fd, block, sizeof(block), 0) != sizeof(block))
		result = problem_set(problem, STATUS_REFUSED, "%s isn't usable: its first block can't be read: %s; the server may say why in its log",
				     path, strerror(errno));
	close(fd);
	return result;
}

static int wait_for_node(unsigned index, struct problem *problem)
{
	uint64_t deadline = clock_ns() + NODE_NS;

	while (try_node(index, problem) < 0) {
		if (!device_is_attached(index))
			return problem_set(problem, STATUS_NOT_ATTACHED, "/dev/nbd%u: somebody has just detached it", index);
		if (problem->status != STATUS_TIMEOUT || clock_ns() > deadline)
			return -1;
		pause_a_little();
	}
	return 0;
}

int device_settle(unsigned index, const char *name, uint64_t deadline, struct problem *problem)
{
	if (wait_for_node(index, problem) < 0)
		return -1;
	/* What the rules of udev read about it was written after the kernel's own events. */
	write_attribute(index, "uevent", "change");
	tell_of_partitions(index);
	return access("/run/udev/control", F_OK) == 0 ? wait_for_udev(index, name, deadline, problem) : 0;
}

bool device_wait_gone(unsigned index, uint64_t deadline)
{
	while (device_is_attached(index)) {
		if (clock_ns() > deadline)
			return false;
		pause_a_little();
	}
	return true;
}
