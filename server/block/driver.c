/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "plugins/builtin.h"
#include "server/block/driver.h"

static const struct platter_driver *const drivers[] = { &file_driver, &null_driver, &ram_driver, NULL };

int driver_init(void)
{
	const struct platter_driver *driver;
	int result = 0;

	for (size_t i = 0; result >= 0 && (driver = driver_at(i)); i++)
		result = platter_register_blkdev(0, driver->name);
	return result < 0 ? result : 0;
}

const struct platter_driver *driver_at(size_t index)
{
	return index < sizeof(drivers) / sizeof(drivers[0]) ? drivers[index] : NULL;
}

const struct platter_driver *driver_find(const char *name)
{
	const struct platter_driver *driver;

	for (size_t i = 0; (driver = driver_at(i)); i++)
		if (strcmp(driver->name, name) == 0)
			return driver;
	return NULL;
}
