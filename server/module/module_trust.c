/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_trust.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/driver.h>

#include "server/module/module_file.h"

static int check_file(const struct stat *status, const char *path, const char *what, struct platter_error *error)
{
	if (!S_ISREG(status->st_mode))
		return platter_fail(error, EINVAL, "%s: not a regular file", path);
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return platter_fail(error, EPERM, "%s: belongs to the user %ju; %s must be root's or the user %ju's, who runs "
				    "platterd", path, (uintmax_t)status->st_uid, what, (uintmax_t)geteuid());
	if (status->st_mode & (S_IWGRP | S_IWOTH))
		return platter_fail(error, EPERM, "%s: others than its owner may write it (mode %04o); chmod go-w %s", path,
				    (unsigned)status->st_mode & 07777, path);
	return 0;
}

/* DIRECTORY: an absolute path, which is cut short to look at each directory above. */
static int check_directories(char *directory, struct platter_error *error)
{
	char *slash;

	while ((slash = strrchr(directory, '/'))) {
		const char *shown = slash == directory ? "/" : directory;
		struct stat status;

		*slash = '\0';
		if (stat(shown, &status) < 0)
			return platter_fail(error, errno, "%s: %s", shown, strerror(errno));
		if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
			return platter_fail(error, EPERM, "%s: everybody may replace what is in this directory (mode %04o); chmod o-w %s",
					    shown, (unsigned)status.st_mode & 07777, shown);
	}
	return 0;
}

int module_trust_file(int fd, const char *path, const char *what, struct platter_error *error)
{
	char link[64], real[PATH_MAX];
	struct stat status, named;
	ssize_t length;
	int result;

	if (fstat(fd, &status) < 0)
		return platter_fail(error, errno, "%s: %s", path, strerror(errno));
	result = check_file(&status, path, what, error);
	if (result < 0)
		return result;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, real, sizeof(real) - 1);
	if (length < 0)
		return platter_fail(error, errno, "%s: %s: %s", path, link, strerror(errno));
	real[length] = '\0';
	/* A file without a name, or whose name is another's by now, has no directory to look at. */
	if (real[0] != '/' || lstat(real, &named) < 0 || named.st_dev != status.st_dev || named.st_ino != status.st_ino)
		return platter_fail(error, EPERM, "%s: was removed or replaced, or never had a name; try again", path);
	return check_directories(real, error);
}

int module_trust(int fd, const char *path, struct platter_error *error)
{
	struct stat status;
	int result = module_trust_file(fd, path, "a module", error);

	if (result < 0)
		return result;
	if (fstat(fd, &status) < 0)
		return platter_fail(error, errno, "%s: %s", path, strerror(errno));
	if ((uint64_t)status.st_size > MODULE_FILE_MOST)
		return platter_fail(error, EFBIG, "%s: %jd bytes; a module has at most %zu", path, (intmax_t)status.st_size,
				    MODULE_FILE_MOST);
	return 0;
}
