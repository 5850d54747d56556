/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that are loaded: their states, what they use of each other, loading
 * and unloading.  Any thread that may block; not reactors.
 *
 * A module is used by the modules that import its symbols and by the users of
 * its drivers' disks; a disk that nobody uses goes with it.
 */
#ifndef MODULE_MODULE_H
#define MODULE_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "server/block/error.h"
#include "server/module/module_info.h"
#include "server/module/param.h"

struct patience;

enum module_state { MODULE_LOADING, MODULE_LIVE, MODULE_UNLOADING };

struct module {
	struct list_head link;          /* in module_list(), in the order of loading */
	/* Under the modules' lock: */
	enum module_state state;
	struct module **uses;           /* those whose symbols it imports, NULL-terminated; each has one more in `users` */
	unsigned users;                 /* modules that import from it */

	char *path;                     /* that it was loaded from */
	int fd;                         /* module_image(): a number that is used again would find the old module in dlopen() */
	void *handle;
	size_t size;                    /* bytes that it takes in memory */
	uintptr_t base, end;            /* where it is mapped; 0: not yet */
	bool free_license, gpl_compatible;
	struct module_info info;
	const struct platter_module *descriptor; /* in the module */
	struct param_table params;
};

/*
 * Loads the file PATH, an absolute path, with COUNT arguments "name=value".
 * -EEXIST when there is a module of this name; -ENOENT for unknown symbols, all of
 * them named; what its init returned.  Nothing stays behind.  *WHOLE, which is NULL or
 * freed, becomes the reason if that has more to name than ERROR has room for, or NULL;
 * the caller frees it.
 */
int module_load(const char *path, const char *const *args, size_t count, char **whole, struct platter_error *error);

/*
 * Unloads NAME when nothing uses it; PATIENCE: for users of its disks to leave,
 * while nobody new is let in.  -EBUSY, with who uses it: it is as it was.
 */
int module_unload(const char *name, const struct patience *patience, struct platter_error *error);

/* All of them, the newest first; there are no disks any more. */
void module_unload_all(void);

/*
 * Before the first: what drivers register is their module's.  TELL hears of each MODULE that came or went,
 * whoever wanted it, as EVENT "module-loaded" or "module-unloaded", in that order, on any thread; it must not call back here.
 */
void module_init(void (*tell)(const char *event, const char *module));

/* Waits until a module of this name is neither being loaded nor unloaded; whether it is there. */
bool module_settled(const char *name);

/* The lock of the table, and what needs it: all modules, in the order of loading, and the one called NAME; '-' and '_' are the same. */
void module_lock(void);
void module_unlock(void);
struct list_head *module_list(void);
struct module *module_find(const char *name);

/* The same for one that is up: -ENOENT, or -EBUSY for one that is being loaded or unloaded. */
int module_find_live(const char *name, struct module **ret, struct platter_error *error);

/* Its disks, and their users. */
unsigned module_disks(const struct module *module);
unsigned module_disk_users(const struct module *module);

/* The value of a parameter as text, which the caller frees; -ENOENT, -EACCES, -ENOMEM. */
int module_param_get(const char *name, const char *param, char **ret, struct platter_error *error);
/* -EACCES: not at run time. */
int module_param_set(const char *name, const char *param, const char *value, struct platter_error *error);

#endif
