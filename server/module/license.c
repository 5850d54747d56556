/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/license.h"

#include <stddef.h>
#include <string.h>

/* Those that include/platter/module.h names. */
static const struct license {
	const char *name;
	bool gpl_compatible;
} licenses[] = {
	{ "GPL", true }, { "GPL v2", true }, { "GPL-2.0", true }, { "GPL-2.0-only", true }, { "GPL-2.0-or-later", true },
	{ "GPL-3.0", true }, { "GPL-3.0-or-later", true }, { "LGPL", true }, { "Dual BSD/GPL", true }, { "Dual MIT/GPL", true },
	{ "BSD-2-Clause", true }, { "BSD-3-Clause", true }, { "MIT", true }, { "ISC", true }, { "MPL-2.0", true },
	{ "Apache-2.0", false },
};

static const struct license *find(const char *name)
{
	for (size_t i = 0; i < sizeof(licenses) / sizeof(licenses[0]); i++)
		if (strcmp(licenses[i].name, name) == 0)
			return &licenses[i];
	return NULL;
}

bool license_is_free(const char *name)
{
	return find(name) != NULL;
}

bool license_is_gpl_compatible(const char *name)
{
	const struct license *license = find(name);

	return license && license->gpl_compatible;
}
