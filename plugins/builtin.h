/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers that are linked into platterd. */
#ifndef PLUGINS_BUILTIN_H
#define PLUGINS_BUILTIN_H

#include <platter/driver.h>

extern const struct platter_driver file_driver;
extern const struct platter_driver null_driver;
extern const struct platter_driver ram_driver;

#endif
