/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * modprobe: loads modules by name or alias from the directory of modules, those
 * that they need first, with the options of the configuration.  Both are read
 * anew each time.  Any thread that may block.
 */
#ifndef MODULE_MODPROBE_H
#define MODULE_MODPROBE_H

#include <stdbool.h>
#include <stddef.h>

struct patience;
struct platter_error;

/* Where modules lie, and *.conf files about them; both stay the caller's. */
void modprobe_set_directories(const char *modules, const char *configuration);
const char *modprobe_modules(void);
const char *modprobe_configuration(void);

/*
 * Loads NAME, or what it is an alias of, with COUNT arguments "name=value"
 * behind the configured ones.  What is loaded already is left as it is.
 * -ENOENT: there is none, or only blacklisted ones have this alias.  *WHOLE: as of module_load().
 */
int modprobe_load(const char *name, const char *const *args, size_t count, char **whole, struct platter_error *error);

/* Unloads NAME, and then what it needed, as far as nothing else uses it. */
int modprobe_unload(const char *name, const struct patience *patience, struct platter_error *error);

/* Loads what provides the driver NAME; *FOUND: whether any module does.  Without an index of modules there is none. */
int modprobe_driver(const char *name, bool *found, struct platter_error *error);
/* Only whether any module does. */
int modprobe_has_driver(const char *name, bool *found, struct platter_error *error);

/* Loads what the configuration says is to be loaded at the start; each failure is logged. */
void modprobe_load_configured(void);

#endif
