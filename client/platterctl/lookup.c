/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platterctl/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/platterctl/call.h"
#include "common/log.h"
#include "server/module/modconf.h"
#include "server/module/modindex.h"
#include "server/module/modname.h"
#include "server/module/module_file.h"

int lookup_read(const char *path, struct module_info *info, struct platter_error *error)
{
	struct module_file file = { .path = NULL };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int result;

	*info = (struct module_info){ .name = NULL };
	if (fd < 0) {
		result = -errno;
		snprintf(error->text, sizeof(error->text), "%s", strerror(-result));
		return result;
	}
	result = module_file_open(&file, fd, path, error);
	if (result == 0)
		result = module_info_read(info, &file, error);
	module_file_close(&file);
	close(fd);
	return result;
}

/* A path may have any bytes. */
static void append(json_t *paths, const char *directory, const char *file)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return;
	json_array_append_new(paths, json_string_nocheck(path));
	free(path);
}

/* The file of the loaded module NAME, if there is one. */
static void find_loaded(json_t *paths, const char *name)
{
	json_t *result = NULL;
	const json_t *module;
	size_t i;

	if (call_method("modules", NULL, &result) == CALL_OK)
		json_array_foreach(json_object_get(result, "modules"), i, module)
			if (modname_equal(json_string_value(json_object_get(module, "name")), name))
				json_array_append(paths, json_object_get(module, "file"));
	json_decref(result);
}

/* What modprobe finds in DIRECTORY, with the configuration in CONF_DIRECTORY. */
static void find_in_index(json_t *paths, const char *name, const char *directory, const char *conf_directory)
{
	struct platter_error error = { "" };
	struct modconf *conf = modconf_new();
	struct modindex *index = NULL;
	const char *module;
	char *file;
	int result;

	if (!conf || modconf_read_directory(conf, conf_directory, &error) < 0)
		log_warning("%s", *error.text ? error.text : "no memory");
	result = modindex_read(directory, &index, &error);
	for (size_t i = 0; conf && index && (module = modindex_resolve(index, conf, name, i)); i++)
		if (modindex_path(index, module))
			append(paths, directory, modindex_path(index, module));
	/* Without an index there may be the file all the same. */
	if (result == -ENOENT && asprintf(&file, "%s.so", name) >= 0) {
		append(paths, directory, file);
		free(file);
	} else if (result < 0)
		log_error("%s", error.text);
	else if (json_array_size(paths) == 0)
		log_error("there is no module \"%s\" in %s; after a new one came, run platterctl depmod", name, directory);
	modindex_free(index);
	modconf_free(conf);
}

json_t *lookup_files(const char *name)
{
	const char *directory = NULL, *conf_directory = NULL;
	json_t *paths = json_array(), *version = NULL;

	if (strchr(name, '/') || (strlen(name) > 3 && strcmp(name + strlen(name) - 3, ".so") == 0)) {
		json_array_append_new(paths, json_string_nocheck(name));
		return paths;
	}
	if (call_is_possible()) {
		find_loaded(paths, name);
		(void)call_method("version", NULL, &version);
		directory = json_string_value(json_object_get(version, "modules"));
		conf_directory = json_string_value(json_object_get(version, "module_conf"));
	}
	if (json_array_size(paths) == 0)
		find_in_index(paths, name, directory ? directory : MODULE_DIR, conf_directory ? conf_directory : MODULE_CONF_DIR);
	json_decref(version);
	return paths;
}

/* Whether the module at DIRECTORY/FILE exports what INFO's imports. */
static bool exports_to(const char *directory, const char *file, const struct module_info *info)
{
	struct module_info other = { .name = NULL };
	struct platter_error ignored;
	bool found = false;
	char *path;

	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return false;
	if (lookup_read(path, &other, &ignored) == 0)
		for (size_t i = 0; i < info->import_count; i++)
			for (size_t j = 0; j < other.export_count; j++)
				found |= strcmp(info->imports[i].name, other.exports[j].name) == 0;
	module_info_free(&other);
	free(path);
	return found;
}

json_t *lookup_depends(const char *path, const struct module_info *info)
{
	const char *slash = strrchr(path, '/');
	struct platter_error ignored;
	struct modindex *index = NULL;
	json_t *names = json_array();
	const char *known, *needed;
	char *directory;

	if (info->import_count == 0)
		return names;
	directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	if (directory)
		(void)modindex_read(directory, &index, &ignored);
	known = index ? modindex_path(index, info->name) : NULL;
	if (!known || strcmp(known, slash ? slash + 1 : path) != 0) {
		json_decref(names);
		names = json_null();
	}
	/* The index has all that it needs, also what these need in turn. */
	for (size_t i = 0; json_is_array(names) && (needed = modindex_before(index, info->name, i)); i++)
		if (exports_to(directory, modindex_path(index, needed), info))
			json_array_append_new(names, json_string(needed));
	modindex_free(index);
	free(directory);
	return names;
}
