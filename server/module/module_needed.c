/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_needed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <platter/driver.h>

#include "server/module/module_names.h"
#include "server/module/module_trust.h"

static int check_search_path(const struct module_file *file, struct platter_error *error)
{
	const char *path;
	uint64_t offset;

	if (!module_file_tag(file, DT_RUNPATH, &offset) && !module_file_tag(file, DT_RPATH, &offset))
		return 0;
	path = module_file_string(file, offset);
	return platter_fail(error, EPERM, "%s: looks for libraries in a path of its own (%.128s), where others may put them; link it "
			    "without -rpath", file->path, path ? path : "damaged");
}

static bool is_library(const GElf_Dyn *entry)
{
	return entry->d_tag == DT_NEEDED || entry->d_tag == DT_FILTER || entry->d_tag == DT_AUXILIARY;
}

static bool contains(const struct module_names *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->names[i], name) == 0)
			return true;
	return false;
}

/* Adds to PATHS what FILE needs by a path. */
static int gather(const struct module_file *file, struct module_names *paths, struct platter_error *error)
{
	int result = check_search_path(file, error);

	for (int i = 0; i < file->dynamic_count && result == 0; i++) {
		GElf_Dyn entry = module_file_dynamic(file, i);
		const char *name = is_library(&entry) ? module_file_string(file, entry.d_un.d_val) : NULL;

		/* ld.so puts something in the place of $ORIGIN and the like, perhaps with a slash. */
		if (!name || !strpbrk(name, "/$") || contains(paths, name))
			continue;
		if (*name != '/' || strchr(name, '$'))
			result = platter_fail(error, EPERM, "%s: needs the library %.128s, whose path depends on where platterd runs or it "
					      "lies; link it by its name, with -l", file->path, name);
		else if (module_names_add(paths, name, strlen(name)) < 0)
			result = platter_fail(error, ENOMEM, "%s: no memory", file->path);
	}
	return result;
}

/* PATH, a library, and into PATHS what it needs. */
static int check_library(const char *path, struct module_names *paths, struct platter_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct module_file file = { .path = NULL };
	int result;

	if (fd < 0)
		return platter_fail(error, errno, "%s: cannot open shared object file: %s", path, strerror(errno));
	result = module_trust(fd, path, error);
	if (result == 0)
		result = module_file_open(&file, fd, path, error);
	if (result == 0)
		result = gather(&file, paths, error);
	module_file_close(&file);
	close(fd);
	return result;
}

int module_needed_trust(const struct module_file *file, struct platter_error *error)
{
	struct platter_error reason = { "" };
	struct module_names paths = { 0 };
	int result = gather(file, &paths, error);

	for (size_t i = 0; i < paths.count && result == 0; i++) {
		result = check_library(paths.names[i], &paths, &reason);
		if (result < 0)
			platter_fail(error, -result, "%s: needs a library that can't be used: %s", file->path, reason.text);
	}
	module_names_free(&paths);
	return result;
}
