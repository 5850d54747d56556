/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/block/disk.h"
#include "server/block/registry.h"

/* Of each name; there may be many. */
#define SHOWN_NAME "%.64s"
#define NAMES_SIZE 320

/* "a, b": appends NAME as far as there is room. */
static void append(char names[NAMES_SIZE], const char *name)
{
	size_t used = strlen(names);

	snprintf(names + used, NAMES_SIZE - used, "%s" SHOWN_NAME, used ? ", " : "", name);
}

/* The other disks that use it, each once; how many. */
static unsigned name_disks(char names[NAMES_SIZE], const struct disk *disk)
{
	struct list_head *node;
	unsigned count = 0;

	names[0] = '\0';
	list_for_each(node, disk_list()) {
		struct disk *other = container_of(node, struct disk, link);

		if (disk->claimed_by != other && (other->whole != disk || disk_users(other) == 0))
			continue;
		append(names, other->name);
		count++;
	}
	return count;
}

int usage_fail_clients(const char *name, unsigned clients, struct platter_error *error)
{
	return platter_fail(error, EBUSY, SHOWN_NAME " is in use by %u client%s; see platterctl clients", name, clients,
			    clients == 1 ? "" : "s");
}

int usage_fail_locked(const struct disk *disk, unsigned users, struct platter_error *error)
{
	char names[NAMES_SIZE];
	unsigned count = name_disks(names, disk);

	if (count == 0)
		return usage_fail_clients(disk->name, users, error);
	if (count >= users)
		return platter_fail(error, EBUSY, SHOWN_NAME " is in use by %s", disk->name, names);
	return platter_fail(error, EBUSY, SHOWN_NAME " is in use by %s and %u client%s; see platterctl clients", disk->name, names,
			    users - count, users - count == 1 ? "" : "s");
}

int usage_fail(const struct disk *disk, unsigned users, struct platter_error *error)
{
	int result;

	registry_lock();
	result = usage_fail_locked(disk, users, error);
	registry_unlock();
	return result;
}
