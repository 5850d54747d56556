/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs on modules' files: they need no server, but know what a running one has. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/platterctl/call.h"
#include "client/platterctl/lookup.h"
#include "client/platterctl/verb.h"
#include "common/log.h"
#include "server/block/error.h"
#include "server/module/moddep.h"
#include "server/module/modindex.h"
#include "server/module/module_info.h"

static json_t *names(const struct module_names *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->names[i]));
	return array;
}

static json_t *symbols(const struct module_info_symbol *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_pack("{s:s, s:s, s:b}", "name", list[i].name, "version", list[i].version, "gpl_only",
						       (int)list[i].gpl_only));
	return array;
}

static json_t *info_json(const char *path, const struct module_info *info, json_t *depends)
{
	json_t *params = json_array();

	for (size_t i = 0; i < info->param_count; i++) {
		char permissions[8];

		snprintf(permissions, sizeof(permissions), "%04o", info->params[i].permissions);
		json_array_append_new(params, json_pack("{s:s, s:s, s:s, s:s}", "name", info->params[i].name, "type",
							info->params[i].type, "permissions", permissions, "description",
							info->params[i].description));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:O, s:o, s:o, s:o, s:i}", "filename", path, "name", info->name, "version",
			 info->version, "license", info->license, "description", info->description, "author", info->author, "alias",
			 names(&info->aliases), "softdep", names(&info->softdeps), "depends", depends, "imports",
			 symbols(info->imports, info->import_count), "exports", symbols(info->exports, info->export_count), "params",
			 params, "abi", (int)info->abi.version);
}

static void print_depends(const json_t *depends)
{
	const json_t *name;
	size_t i;

	if (!json_is_array(depends))
		return;
	fputs("depends:        ", stdout);
	json_array_foreach(depends, i, name)
		printf("%s%s", i ? "," : "", json_string_value(name));
	putchar('\n');
}

static void print_info(const char *path, const struct module_info *info, const json_t *depends)
{
	printf("filename:       %s\nname:           %s\nversion:        %s\nlicense:        %s\ndescription:    %s\nauthor:         %s\n",
	       path, info->name, info->version, info->license, info->description, info->author);
	for (size_t i = 0; i < info->aliases.count; i++)
		printf("alias:          %s\n", info->aliases.names[i]);
	for (size_t i = 0; i < info->softdeps.count; i++)
		printf("softdep:        %s\n", info->softdeps.names[i]);
	print_depends(depends);
	for (size_t i = 0; i < info->import_count; i++)
		printf("import:         %s version %s\n", info->imports[i].name, info->imports[i].version);
	for (size_t i = 0; i < info->export_count; i++)
		printf("export:         %s version %s%s\n", info->exports[i].name, info->exports[i].version,
		       info->exports[i].gpl_only ? " (GPL only)" : "");
	printf("abi:            %" PRIu32 "\n", info->abi.version);
	for (size_t i = 0; i < info->param_count; i++)
		printf("parm:           %s:%s (%s)\n", info->params[i].name, info->params[i].description, info->params[i].type);
}

static int show_info(const char *path)
{
	struct platter_error error = { "" };
	struct module_info info;
	int status = CALL_OK;
	json_t *depends;

	if (lookup_read(path, &info, &error) < 0) {
		log_error("%s: %s", path, error.text);
		status = CALL_REFUSED;
	} else {
		depends = lookup_depends(path, &info);
		if (verb_json)
			verb_print(info_json(path, &info, depends), NULL);
		else
			print_info(path, &info, depends);
		json_decref(depends);
	}
	module_info_free(&info);
	return status;
}

static int modinfo(int argc, char **argv)
{
	int status = CALL_OK;

	if (argc < 2)
		return verb_usage("modinfo: write NAME or FILE");
	for (int i = 1; i < argc && status == CALL_OK; i++) {
		json_t *paths = lookup_files(argv[i]);
		const json_t *path;
		size_t n;

		if (json_array_size(paths) == 0)
			status = CALL_REFUSED;
		json_array_foreach(paths, n, path)
			if (status == CALL_OK)
				status = show_info(json_string_value(path));
		json_decref(paths);
	}
	return status;
}

/* What depmod finds in a directory. */
struct found {
	struct module_info *infos;
	struct moddep_module *modules;
	char **paths;
	size_t count, room;
};

static void *need(void *memory)
{
	if (memory)
		return memory;
	log_error("no memory");
	exit(CALL_REFUSED);
}

static const char *const *symbol_names(const struct module_info_symbol *symbols_of, size_t count)
{
	const char **list = need(calloc(count + 1, sizeof(*list)));

	for (size_t i = 0; i < count; i++)
		list[i] = symbols_of[i].name;
	return list;
}

static const char *const *text_names(const struct module_names *list_of)
{
	const char **list = need(calloc(list_of->count + 1, sizeof(*list)));

	for (size_t i = 0; i < list_of->count; i++)
		list[i] = list_of->names[i];
	return list;
}

static void take_file(struct found *found, const char *directory, const char *name)
{
	struct platter_error error = { "" };
	struct module_info *info;
	char *path = NULL;

	if (found->count == found->room) {
		found->room = found->room ? 2 * found->room : 32;
		found->infos = need(realloc(found->infos, found->room * sizeof(*found->infos)));
		found->paths = need(realloc(found->paths, found->room * sizeof(*found->paths)));
	}
	info = &found->infos[found->count];
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		need(NULL);
	if (lookup_read(path, info, &error) == 0) {
		found->paths[found->count++] = need(strdup(name));
	} else {
		log_warning("%s: left out: %s", path, error.text);
		module_info_free(info);
	}
	free(path);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct moddep_module *)a)->name, ((const struct moddep_module *)b)->name);
}

/* What was written: the modules, and what each needs, in the order in which modprobe loads it. */
static json_t *index_json(const char *directory, const struct moddep *dep)
{
	const struct moddep_module *modules, *needed;
	json_t *list = json_array();
	size_t count;

	modules = moddep_modules(dep, &count);
	for (size_t i = 0; i < count; i++) {
		json_t *needs = json_array();

		for (size_t j = 0; (needed = moddep_before(dep, i, j)); j++)
			json_array_append_new(needs, json_string(needed->name));
		json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", modules[i].name, "file", modules[i].path, "needs",
						      needs));
	}
	return json_pack("{s:s, s:o}", "directory", directory, "modules", list);
}

static int write_index(struct found *found, const char *directory)
{
	struct platter_error error = { "" };
	struct moddep *dep = NULL;
	const char *warning;
	int result;

	found->modules = need(calloc(found->count + 1, sizeof(*found->modules)));
	for (size_t i = 0; i < found->count; i++) {
		const struct module_info *info = &found->infos[i];

		found->modules[i] = (struct moddep_module){
			.name = info->name,
			.path = found->paths[i],
			.exports = symbol_names(info->exports, info->export_count),
			.imports = symbol_names(info->imports, info->import_count),
			.aliases = text_names(&info->aliases),
			.softdeps = text_names(&info->softdeps),
		};
	}
	qsort(found->modules, found->count, sizeof(*found->modules), compare);
	result = moddep_new(found->modules, found->count, &dep, &error);
	for (size_t i = 0; result == 0 && (warning = moddep_warning(dep, i)); i++)
		log_warning("%s", warning);
	if (result == 0)
		result = modindex_write(directory, dep, &error);
	if (result < 0)
		log_error("%s: %s", directory, error.text);
	else if (verb_json)
		verb_print(index_json(directory, dep), NULL);
	moddep_free(dep);
	return result < 0 ? CALL_REFUSED : CALL_OK;
}

/* Frees what depmod had. */
static void forget(struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		const struct moddep_module *module = &found->modules[i];

		free((void *)(uintptr_t)module->exports);
		free((void *)(uintptr_t)module->imports);
		free((void *)(uintptr_t)module->aliases);
		free((void *)(uintptr_t)module->softdeps);
		module_info_free(&found->infos[i]);
		free(found->paths[i]);
	}
	free(found->modules);
	free(found->infos);
	free(found->paths);
}

static int depmod(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : MODULE_DIR;
	struct found found = { .count = 0 };
	struct dirent *entry;
	int status;
	DIR *open_directory;

	if (argc > 2)
		return verb_usage("depmod: %s: not expected", argv[2]);
	open_directory = opendir(directory);
	if (!open_directory) {
		log_error("%s: %s", directory, strerror(errno));
		return CALL_REFUSED;
	}
	while ((entry = readdir(open_directory)))
		if (strlen(entry->d_name) > 3 && strcmp(entry->d_name + strlen(entry->d_name) - 3, ".so") == 0)
			take_file(&found, directory, entry->d_name);
	closedir(open_directory);
	status = write_index(&found, directory);
	forget(&found);
	return status;
}

const struct verb file_verbs[] = {
	{ "modinfo", "NAME|FILE...", "what modules say of themselves", modinfo },
	{ "depmod", "[DIRECTORY]", "write modules.dep and modules.alias of a directory of modules", depmod },
	{ .name = NULL },
};
