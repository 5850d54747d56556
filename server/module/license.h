/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MODULE_LICENSE_H
#define MODULE_LICENSE_H

#include <stdbool.h>

/* Whether a module with it doesn't taint the daemon, and whether it may use what is exported for the GPL only. */
bool license_is_free(const char *license);
bool license_is_gpl_compatible(const char *license);

#endif
