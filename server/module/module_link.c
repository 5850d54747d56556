/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/module/module.h"
#include "server/module/module_names.h"

/* Which of MODULES exports NAME, and the symbol. */
static struct module *exporter_of(const struct list_head *modules, const char *name, const struct module_info_symbol **ret)
{
	struct list_head *node;

	list_for_each(node, modules) {
		struct module *module = container_of(node, struct module, link);

		for (size_t i = 0; i < module->info.export_count; i++) {
			*ret = &module->info.exports[i];
			if (strcmp((*ret)->name, name) == 0)
				return module;
		}
	}
	return NULL;
}

static int check_exports(const struct module *module, const struct list_head *modules, struct platter_error *error)
{
	const struct module_info_symbol *symbol;

	for (size_t i = 0; i < module->info.export_count; i++) {
		const struct module *other = exporter_of(modules, module->info.exports[i].name, &symbol);

		if (other)
			return platter_fail(error, EEXIST, "%s: exports the symbol %s, which %s exports already", module->info.name,
					    symbol->name, other->info.name);
	}
	return 0;
}

/* Notes that MODULE uses OTHER, once. */
static void use(struct module *module, struct module *other)
{
	struct module **used = module->uses;

	while (*used && *used != other)
		used++;
	if (*used)
		return;
	*used = other;
	other->users++;
}

static int check_import(const struct module *module, const struct module_info_symbol *import, const struct module *other,
			const struct module_info_symbol *export, struct platter_error *error)
{
	if (other->state != MODULE_LIVE)
		return platter_fail(error, EBUSY, "%s: %s, which exports %s, is being %s", module->info.name, other->info.name,
				    import->name, other->state == MODULE_LOADING ? "loaded" : "unloaded");
	if (strcmp(import->version, export->version) != 0)
		return platter_fail(error, EINVAL, "%s: was built for version %s of the symbol %s; %s has version %s", module->info.name,
				    import->version, import->name, other->info.name, export->version);
	if (export->gpl_only && !module->gpl_compatible)
		return platter_fail(error, EACCES, "%s: the symbol %s of %s is for GPL-compatible modules only, its license is %s",
				    module->info.name, import->name, other->info.name, module->info.license);
	return 0;
}

int module_link_check(struct module *module, const struct list_head *modules, struct module_names *unknown,
		      struct platter_error *error)
{
	const struct module_info *info = &module->info;
	int result = check_exports(module, modules, error);

	module->uses = calloc(info->import_count + 1, sizeof(struct module *));
	if (result == 0 && !module->uses)
		result = platter_fail(error, ENOMEM, "no memory");
	for (size_t i = 0; result == 0 && i < info->import_count; i++) {
		const struct module_info_symbol *import = &info->imports[i], *export;
		struct module *other = exporter_of(modules, import->name, &export);

		if (!other && module_names_add(unknown, import->name, strlen(import->name)) < 0)
			result = platter_fail(error, ENOMEM, "no memory");
		else if (other)
			result = check_import(module, import, other, export, error);
		if (other && result == 0)
			use(module, other);
	}
	if (result < 0)
		module_link_drop(module);
	return result;
}

void module_link_drop(struct module *module)
{
	for (struct module **used = module->uses; used && *used; used++) {
		(*used)->users--;
		*used = NULL;
	}
}

/* Where an exporter that MODULE uses has NAME. */
static const struct platter_export *find_export(const struct module *module, const struct platter_import *import)
{
	for (struct module **used = module->uses; *used; used++) {
		const struct platter_module *other = (*used)->descriptor;

		for (const struct platter_export *export = other->exports; export && export < other->exports_end; export++)
			if (strcmp(export->name, import->name) == 0 && strcmp(export->version, import->version) == 0)
				return export;
	}
	return NULL;
}

int module_link_bind(struct module *module, struct platter_error *error)
{
	const struct platter_module *descriptor = module->descriptor;

	for (const struct platter_import *import = descriptor->imports; import && import < descriptor->imports_end; import++) {
		const struct platter_export *export = find_export(module, import);

		if (!export)
			return platter_fail(error, ENOEXEC, "%s: imports the symbol %s, of which its description says nothing",
					    module->info.name, import->name);
		*import->slot = export->address;
	}
	return 0;
}
