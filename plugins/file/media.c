/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that change: their size, or which file it is. */
#include "plugins/file/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/host.h>

/* Whether its path leads to another file by now, or to none. */
static bool is_replaced(const struct file_disk *file)
{
	struct stat mine, there;

	if (file->fd < 0 || fstat(file->fd, &mine) < 0)
		return stat(file->path, &there) == 0;
	return stat(file->path, &there) < 0 || mine.st_dev != there.st_dev || mine.st_ino != there.st_ino;
}

/* A removable one whose file was replaced takes the new one, when nobody uses the old. */
int file_revalidate(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error)
{
	struct file_disk *file = platter_disk_data(disk);
	int result;

	if (file->fd < 0)
		return platter_fail(error, ENOMEDIUM, "%s: ejected", file->path);
	if (file->removable && is_replaced(file) && platter_disk_users(disk) == 0) {
		file_detach(file);
		result = file_attach(file, error);
	} else {
		result = file_read_size(file, error);
	}
	*bytes = file->size;
	platter_disk_set_capacity(disk, file->size);
	return result;
}

int file_resize(struct platter_disk *disk, uint64_t bytes, struct platter_error *error)
{
	struct file_disk *file = platter_disk_data(disk);

	if (file->fd < 0)
		return platter_fail(error, ENOMEDIUM, "%s: ejected", file->path);
	if (file->block_device)
		return platter_fail(error, EOPNOTSUPP, "%s: a block device is resized with its own tools; then write no size", file->path);
	if (bytes % file->sector)
		return platter_fail(error, EINVAL, "%s: the size must be a multiple of %u", file->path, file->sector);
	if (ftruncate(file->fd, (off_t)bytes) < 0)
		return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
	return 0;
}

unsigned file_check_events(struct platter_disk *disk)
{
	const struct file_disk *file = platter_disk_data(disk);
	struct file_disk now = *file;

	if (file->removable && is_replaced(file))
		return PLATTER_EVENT_MEDIA_CHANGE | PLATTER_EVENT_RESIZED;
	if (file->fd < 0)
		return 0;
	return file_read_size(&now, NULL) == 0 && now.size != file->size ? PLATTER_EVENT_RESIZED : 0;
}

static int eject(struct platter_disk *disk, struct file_disk *file, struct platter_error *error)
{
	unsigned users = platter_disk_users(disk);

	if (file->fd < 0)
		return platter_fail(error, ENOMEDIUM, "%s: is ejected already", file->path);
	if (users)
		return platter_fail(error, EBUSY, "%s: locked: in use by %u", file->path, users);
	file_detach(file);
	platter_disk_set_capacity(disk, 0);
	return 0;
}

static int load(struct platter_disk *disk, struct file_disk *file, const char *path, struct platter_error *error)
{
	char *before = file->path;
	int result;

	if (file->fd >= 0)
		return platter_fail(error, EBUSY, "%s: is loaded: eject it first", file->path);
	if (path) {
		file->path = strdup(path);
		if (!file->path) {
			file->path = before;
			return platter_fail(error, ENOMEM, "no memory");
		}
	}
	result = file_attach(file, error);
	if (result == 0)
		result = file_identify(disk, file, error);
	if (result < 0)
		file_detach(file);
	if (path)
		free(result < 0 ? file->path : before);
	if (path && result < 0)
		file->path = before;
	return result;
}

int file_ioctl(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv,
	       struct platter_reply *reply, struct platter_error *error)
{
	struct file_disk *file = platter_disk_data(disk);
	bool loads = strcmp(command, "load") == 0;
	int result;

	if (!file->removable)
		return platter_fail(error, EOPNOTSUPP, "%s: is not removable; see removable=on", file->path);
	if (argc > (loads ? 1u : 0u))
		return platter_fail(error, EINVAL, "%s: %s: not expected", command, argv[argc - 1]);
	result = loads ? load(disk, file, argc ? argv[0] : NULL, error) : eject(disk, file, error);
	if (result == 0 && loads)
		platter_reply(reply, "%s", file->path);
	return result;
}

const struct platter_command file_commands[] = {
	{ "eject", "", "takes the file out, when nobody uses the disk" },
	{ "load", "[PATH]", "puts it in again, or another one" },
	{ .name = NULL },
};
