/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Filled at start and emptied at the end, while no reactor runs. */
static struct list_head exports = LIST_HEAD_INIT(exports);

struct list_head *export_list(void)
{
	return &exports;
}

int export_add(const char *name, struct disk *disk, bool read_only)
{
	struct export *export = calloc(1, sizeof(*export));

	if (!export)
		return -ENOMEM;
	export->name = strdup(name);
	if (!export->name) {
		free(export);
		return -ENOMEM;
	}
	export->disk = disk;
	export->read_only = read_only;
	list_add_tail(&export->link, &exports);
	return 0;
}

void export_remove_all(void)
{
	struct list_head *node;

	while ((node = list_pop(&exports))) {
		struct export *export = container_of(node, struct export, link);

		free(export->name);
		free(export);
	}
}

struct export *export_find(const char *name, size_t length)
{
	struct list_head *node;

	list_for_each(node, &exports) {
		struct export *export = container_of(node, struct export, link);

		if (length == 0 || (strlen(export->name) == length && memcmp(export->name, name, length) == 0))
			return export;
	}
	return NULL;
}
