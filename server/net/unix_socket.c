/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/unix_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/net/address.h"

#define BACKLOG 1024

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

static int bind_and_listen(int fd, const char *path, mode_t mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t saved = umask(0777 & ~mode);
	unsigned tries = 0;
	int result;

	/* address_parse_unix() has seen to it that it fits. */
	memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
	do {
		result = bind_path(fd, &address);
	} while (result < 0 && !address_in_use_for_long(result, &tries));
	umask(saved);
	if (result == 0 && listen(fd, BACKLOG) < 0) {
		result = -errno;
		unlink(path);
	}
	return result;
}

int unix_socket_listen(struct unix_socket *ret, const char *path, mode_t mode, struct platter_error *error)
{
	struct stat status;
	int result;

	*ret = (struct unix_socket){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .path = strdup(path) };
	result = ret->fd < 0 ? -errno : ret->path ? bind_and_listen(ret->fd, path, mode) : -ENOMEM;
	if (result == 0) {
		if (lstat(path, &status) == 0) {
			ret->device = status.st_dev;
			ret->inode = status.st_ino;
		}
		return 0;
	}
	unix_socket_close(ret);
	if (result == -ENOTSOCK)
		return platter_fail(error, ENOTSOCK, "unix:%s: there is something else of this name, not a socket", path);
	return platter_fail(error, -result, "unix:%s: %s", path,
			    result == -EADDRINUSE ? "another server listens there" : strerror(-result));
}

/* While it still listens: whoever finds the file later takes it for the next server's. */
void unix_socket_unlink(struct unix_socket *bound)
{
	struct stat status;

	if (bound->path && bound->inode && lstat(bound->path, &status) == 0 && status.st_dev == bound->device &&
	    status.st_ino == bound->inode)
		unlink(bound->path);
	free(bound->path);
	bound->path = NULL;
}

void unix_socket_close(struct unix_socket *bound)
{
	unix_socket_unlink(bound);
	if (bound->fd >= 0)
		close(bound->fd);
	bound->fd = -1;
}
