/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <platter/driver.h>

#include "server/module/module_info.h"

/* Linux 6.3; a kernel before it takes any memfd for executable. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static int create(const char *name)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_EXEC);

	return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

static int fill(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -ENOSPC;
		bytes += written;
		size -= (size_t)written;
	}
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int module_image(const struct module_file *file, const char *name, struct platter_error *error)
{
	char text[MODULE_INFO_NAME + sizeof(".so")];
	int fd, result;

	snprintf(text, sizeof(text), "%s.so", name);
	fd = create(text);
	if (fd < 0 && errno == EACCES)
		return platter_fail(error, EACCES, "%s: the kernel refuses memory for code; see the sysctl vm.memfd_noexec", file->path);
	if (fd < 0)
		return platter_fail(error, errno, "%s: no memory for a copy: %s", file->path, strerror(errno));
	result = fill(fd, file->image, file->size);
	if (result == 0)
		return fd;
	close(fd);
	return platter_fail(error, -result, "%s: cannot be copied into memory: %s", file->path, strerror(-result));
}
