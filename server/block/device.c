/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "server/block/driver.h"
#include "server/block/registry.h"

static char *names[DEVICE_MAJORS];
static const void *owners[DEVICE_MAJORS];

const char *device_name(unsigned major)
{
	return major < DEVICE_MAJORS ? names[major] : NULL;
}

unsigned device_major(const char *name)
{
	for (unsigned major = 1; major < DEVICE_MAJORS; major++)
		if (names[major] && strcmp(names[major], name) == 0)
			return major;
	return 0;
}

/* From the top of the dynamic ones down, as the kernel does. */
static unsigned free_major(void)
{
	unsigned major = DEVICE_DYNAMIC;

	while (major && names[major])
		major--;
	return major;
}

int platter_register_blkdev(unsigned major, const char *name)
{
	void *owner = driver_owner(__builtin_return_address(0));
	char *copy = name && *name ? strdup(name) : NULL;
	int result = 0;

	if (!copy || major >= DEVICE_MAJORS) {
		result = name && *name && !copy ? -ENOMEM : -EINVAL;
		free(copy);
		return result;
	}
	registry_lock();
	if (major == 0) {
		major = free_major();
		result = (int)major;
	}
	if (major == 0 || names[major] || device_major(name)) {
		result = -EBUSY;
		free(copy);
	} else {
		names[major] = copy;
		owners[major] = owner;
	}
	registry_unlock();
	return result;
}

void platter_unregister_blkdev(unsigned major, const char *name)
{
	registry_lock();
	if (major < DEVICE_MAJORS && names[major] && strcmp(names[major], name) == 0) {
		free(names[major]);
		names[major] = NULL;
	}
	registry_unlock();
}

char *device_forget(const void *owner)
{
	char *name = NULL;

	registry_lock();
	for (unsigned major = 1; major < DEVICE_MAJORS && !name; major++) {
		if (!names[major] || owners[major] != owner)
			continue;
		name = names[major];
		names[major] = NULL;
	}
	registry_unlock();
	return name;
}

void device_unregister_all(void)
{
	for (unsigned major = 1; major < DEVICE_MAJORS; major++) {
		free(names[major]);
		names[major] = NULL;
	}
}
