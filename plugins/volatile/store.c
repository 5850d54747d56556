/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/volatile/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that exists keeps its size: *BYTES is 0 or the same. */
static int check_file(int store, const char *path, uint64_t *bytes, struct platter_error *error)
{
	struct stat status;

	if (fstat(store, &status) < 0)
		return platter_fail(error, errno, "store=%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return platter_fail(error, EINVAL, "store=%s: not a regular file", path);
	if (flock(store, LOCK_EX | LOCK_NB) < 0)
		return platter_fail(error, EBUSY, "store=%s: another disk has it", path);
	if (status.st_size && *bytes && *bytes != (uint64_t)status.st_size)
		return platter_fail(error, EINVAL, "store=%s has %" PRIu64 " bytes, not %" PRIu64 ": leave the size away", path,
				    (uint64_t)status.st_size, *bytes);
	if (status.st_size)
		*bytes = (uint64_t)status.st_size;
	return 0;
}

static int check_size(uint64_t bytes, struct platter_error *error)
{
	if (bytes == 0 || bytes % STORE_SECTOR || bytes > INT64_MAX)
		return platter_fail(error, EINVAL, "the size is %" PRIu64 "; it must be a multiple of %d, for example volatile:64M",
				    bytes, STORE_SECTOR);
	return 0;
}

int store_open(const char *name, const char *path, uint64_t *bytes, struct platter_error *error)
{
	char label[64]; /* the system takes no long ones */
	int result = 0;
	int store;

	snprintf(label, sizeof(label), "%s", name);
	store = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : memfd_create(label, MFD_CLOEXEC);
	if (store < 0)
		return platter_fail(error, errno, "%s: %s", path ? path : "memory file", strerror(errno));
	if (path)
		result = check_file(store, path, bytes, error);
	if (result == 0)
		result = check_size(*bytes, error);
	if (result == 0 && ftruncate(store, (off_t)*bytes) < 0)
		result = platter_fail(error, errno, "%s: %s", path ? path : "memory file", strerror(errno));
	if (result < 0) {
		close(store);
		return result;
	}
	return store;
}

int store_read(int store, uint64_t sector, uint64_t count, void *data)
{
	uint64_t at = sector * STORE_SECTOR, end = (sector + count) * STORE_SECTOR;
	uint8_t *to = data;

	while (at < end) {
		ssize_t got = pread(store, to, end - at, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		to += got;
		at += (uint64_t)got;
	}
	return 0;
}

int store_write(int store, uint64_t sector, const void *data)
{
	uint64_t at = sector * STORE_SECTOR, end = at + STORE_SECTOR;
	const uint8_t *from = data;

	while (at < end) {
		ssize_t put = pwrite(store, from, end - at, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -ENOSPC;
		from += put;
		at += (uint64_t)put;
	}
	return 0;
}
