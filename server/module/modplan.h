/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What modprobe loads for a module, and in which order: what it needs, what is
 * to come before and after it, and the same for each of those.
 */
#ifndef MODULE_MODPLAN_H
#define MODULE_MODPLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "server/module/modconf.h"
#include "server/module/modindex.h"

struct modplan_step {
	const char *module; /* these two are the index's */
	const char *path;
	bool required;      /* when it fails, all fails; else, a soft dependency, the rest goes on */
};

struct modplan {
	struct modplan_step *steps; /* in the order to load them; those that are loaded already are skipped by the caller */
	size_t count;
};

/*
 * Plans for MODULE, a module's name; find that for another with
 * modindex_resolve().  Soft dependencies come from CONF and from the modules;
 * those that the index doesn't have are left out, and so are those that need a
 * module that would have to wait for them.  -ENOENT: the index hasn't got
 * MODULE; -ENOMEM.
 */
int modplan_new(const struct modindex *index, const struct modconf *conf, const char *module, struct modplan **ret,
		struct platter_error *error);
void modplan_free(struct modplan *plan);

#endif
