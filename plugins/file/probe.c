/* SPDX-License-Identifier: BSD-2-Clause */
/* What a file is: opening, locking, size, sectors and what lies underneath. */
#include "plugins/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <platter/host.h>

#define BUSY_SECONDS 2
#define BUSY_TRIES_PER_SECOND 50

static void file_free(struct file_disk *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	free(file);
}

/*
 * A server that was just killed may still hold the file: the kernel ends what
 * it had in flight first.  Whoever is refused as busy tries again for a while.
 */
static bool wait_a_little(unsigned *tries)
{
	static const struct timespec pause = { .tv_nsec = 1000000000 / BUSY_TRIES_PER_SECOND };

	if (++*tries > BUSY_SECONDS * BUSY_TRIES_PER_SECOND)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* Nothing may be refused with EAGAIN: some kernels do, where the device below cannot do without waiting. */
static int make_blocking(const struct file_disk *file, struct platter_error *error)
{
	struct stat status;

	if (fstat(file->fd, &status) < 0 || fcntl(file->fd, F_SETFL, fcntl(file->fd, F_GETFL) & ~O_NONBLOCK) < 0)
		return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
	if (file->block_device ? !S_ISBLK(status.st_mode) : !S_ISREG(status.st_mode))
		return platter_fail(error, EINVAL, "%s: has just become something else", file->path);
	return 0;
}

/* Read-write if it can be had; a file that forbids writing is served read-only. */
static int open_file(struct file_disk *file, bool exclusive, struct platter_error *error)
{
	/* A path may have become a FIFO since it was looked at, whose open would wait. */
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (file->direct ? O_DIRECT : 0);
	unsigned tries = 0;
	int forbidden = 0;

	file->fd = -1;
	if (!file->read_only) {
		do {
			file->fd = open(file->path, O_RDWR | flags | (exclusive ? O_EXCL : 0));
		} while (file->fd < 0 && errno == EBUSY && wait_a_little(&tries));
		if (file->fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
			file->read_only = true;
	}
	if (file->fd < 0 && file->read_only)
		file->fd = open(file->path, O_RDONLY | flags);
	if (file->fd >= 0 && file->block_device && ioctl(file->fd, BLKROGET, &forbidden) == 0 && forbidden)
		file->read_only = true;
	if (file->fd >= 0)
		return make_blocking(file, error);
	if (errno == EINVAL && file->direct)
		return platter_fail(error, EINVAL, "%s: direct=on: its file system has no O_DIRECT", file->path);
	if (errno == EBUSY)
		return platter_fail(error, EBUSY, "%s: in use by this machine (mounted?); share=on serves it all the same",
				    file->path);
	if (errno == EISDIR)
		return platter_fail(error, EISDIR, "%s: is a directory", file->path);
	return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
}

static int check_kind(struct file_disk *file, struct platter_error *error)
{
	struct stat status;

	if (stat(file->path, &status) < 0)
		return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return platter_fail(error, EISDIR, "%s: is a directory", file->path);
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return platter_fail(error, EINVAL, "%s: is neither a regular file nor a block device", file->path);
	file->block_device = S_ISBLK(status.st_mode);
	return 0;
}

/* Two disks of one file, here or in another server, would not know of each other. */
static int lock_file(const struct file_disk *file, struct platter_error *error)
{
	struct flock lock = { .l_type = file->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	unsigned tries = 0;

	do {
		if (fcntl(file->fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
			return 0; /* a file system without locks is no reason to refuse */
	} while (wait_a_little(&tries));
	return platter_fail(error, EBUSY, "%s: another disk or program has locked it; share=on serves it all the same", file->path);
}

int file_read_size(struct file_disk *file, struct platter_error *error)
{
	struct stat status;

	if (file->block_device ? ioctl(file->fd, BLKGETSIZE64, &file->size) < 0 : fstat(file->fd, &status) < 0)
		return platter_fail(error, errno, "%s: its size: %s", file->path, strerror(errno));
	if (!file->block_device)
		file->size = (uint64_t)status.st_size;
	if (file->size == 0)
		return platter_fail(error, EINVAL, "%s: is empty (0 bytes)", file->path);
	if (file->size % file->sector)
		return platter_fail(error, EINVAL, "%s: its size, %" PRIu64 ", is not a multiple of %u, as direct=on needs", file->path,
				    file->size, file->sector);
	return 0;
}

/* What O_DIRECT needs on a regular file; kernels before 6.1 don't tell, and 4096 suits all. */
static void read_direct_alignment(struct file_disk *file)
{
	struct statx status;

	file->sector = file->memory = 4096;
#ifdef STATX_DIOALIGN
	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) &&
	    status.stx_dio_offset_align) {
		file->sector = status.stx_dio_offset_align;
		file->memory = status.stx_dio_mem_align;
	}
#else
	(void)status;
#endif
}

static int read_sector(struct file_disk *file, struct platter_error *error)
{
	int sector;

	file->sector = file->memory = 1;
	if (!file->block_device) {
		if (file->direct)
			read_direct_alignment(file);
		return 0;
	}
	if (ioctl(file->fd, BLKSSZGET, &sector) < 0)
		return platter_fail(error, errno, "%s: its sector size: %s", file->path, strerror(errno));
	file->sector = (uint32_t)sector;
	if (file->direct)
		file->memory = (uint32_t)sector;
	return 0;
}

/* The flag of the disk itself, of the one that a partition is on, or of the one that a file lies on. */
static bool read_rotational(const struct file_disk *file)
{
	static const char *const attributes[] = { "queue", "../queue" };
	bool rotational = false;
	struct stat status;
	dev_t device;

	if (fstat(file->fd, &status) < 0)
		return false;
	device = file->block_device ? status.st_rdev : status.st_dev;
	for (size_t i = 0; i < 2; i++) {
		char path[96];
		FILE *stream;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/rotational", major(device), minor(device), attributes[i]);
		stream = fopen(path, "re");
		if (!stream)
			continue;
		rotational = fgetc(stream) == '1';
		fclose(stream);
		break;
	}
	return rotational;
}

/* Network file systems and FUSE may keep a writer waiting for ever. */
static bool is_local(const struct file_disk *file)
{
	static const unsigned long local[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC };
	struct statfs status;

	if (file->block_device || fstatfs(file->fd, &status) < 0)
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if ((unsigned long)status.f_type == local[i])
			return true;
	return false;
}

int file_attach(struct file_disk *file, struct platter_error *error)
{
	int result;

	file->read_only = file->wanted_read_only;
	result = check_kind(file, error);
	if (result == 0)
		result = open_file(file, file->block_device && !file->share, error);
	if (result == 0 && !file->share)
		result = lock_file(file, error);
	if (result == 0)
		result = read_sector(file, error);
	if (result == 0)
		result = file_read_size(file, error);
	if (result < 0) {
		file_detach(file);
		return result;
	}
	if (file->read_only && !file->wanted_read_only)
		platter_log(PLATTER_LOG_WARNING, "%s: it may not be written: served read-only", file->path);
	file->rotational = read_rotational(file);
	file->local = is_local(file);
	return 0;
}

void file_detach(struct file_disk *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	file->size = 0;
	file->no_punch = file->no_zero_range = false;
}

int file_identify(struct platter_disk *disk, const struct file_disk *file, struct platter_error *error)
{
	const char *name = strrchr(file->path, '/');
	char *folder = strndup(file->path, name ? (size_t)(name - file->path) + 1 : 0);
	char *real = folder ? realpath(*folder ? folder : ".", NULL) : NULL;
	char *path = NULL;
	int result = 0;

	if (!folder || !real)
		result = platter_fail(error, errno, "%s: its folder: %s", file->path, strerror(errno));
	else if (asprintf(&path, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name ? name + 1 : file->path) < 0)
		path = NULL;
	if (result == 0 && (!path || platter_disk_set_identity(disk, path) < 0))
		result = platter_fail(error, ENOMEM, "no memory");
	free(path);
	free(real);
	free(folder);
	return result;
}

int file_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	const char *path = platter_args_string(args, "path", "");
	struct file_disk *file = calloc(1, sizeof(*file));
	int result;

	if (!file || !(file->path = strdup(path))) {
		free(file);
		return platter_fail(error, ENOMEM, "no memory");
	}
	file->fd = -1;
	file->wanted_read_only = read_only;
	file->direct = platter_args_bool(args, "direct", false);
	file->share = platter_args_bool(args, "share", false);
	file->removable = platter_args_bool(args, "removable", false);
	result = *path ? file_attach(file, error) : platter_fail(error, EINVAL, "the path is missing; write file:PATH");
	if (result == 0)
		result = file_identify(disk, file, error);
	if (result < 0) {
		file_free(file);
		return result;
	}
	platter_disk_set_data(disk, file);
	platter_disk_set_capacity(disk, file->size);
	platter_disk_set_events(disk, (uint32_t)platter_args_number(args, "check", 0));
	return 0;
}

void file_remove(struct platter_disk *disk)
{
	file_free(platter_disk_data(disk));
}

/*
 * The descriptor stays open as long as the disk is there: a failed write-back
 * is reported to it, and to one that is opened later perhaps not.
 */
int file_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	struct file_disk *file = platter_disk_data(disk);
	int result;

	if (file->fd < 0)
		return platter_fail(error, ENOMEDIUM, "%s: ejected; load puts it in again", file->path);
	result = file_read_size(file, error);
	if (result < 0)
		return result;
	geometry->bytes = file->size;
	geometry->min_block = file->sector;
	geometry->memory_alignment = file->memory;
	geometry->capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_CACHE |
				 PLATTER_DISK_COHERENT;
	if (file->read_only)
		geometry->capabilities |= PLATTER_DISK_READ_ONLY;
	if (!file->block_device)
		geometry->capabilities |= PLATTER_DISK_EXTENTS;
	if (file->rotational)
		geometry->capabilities |= PLATTER_DISK_ROTATIONAL;
	return 0;
}

int file_release(struct platter_disk *disk, struct platter_error *error)
{
	const struct file_disk *file = platter_disk_data(disk);

	if (file->read_only || fdatasync(file->fd) == 0)
		return 0;
	return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
}
