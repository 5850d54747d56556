/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ld.so's search path for this program; the caller frees it.  NULL when it cannot be had. */
static Dl_serinfo *search_path(void)
{
	void *program = dlopen(NULL, RTLD_LAZY);
	Dl_serinfo size, *path = NULL;

	if (program && dlinfo(program, RTLD_DI_SERINFOSIZE, &size) == 0)
		path = calloc(1, size.dls_size);
	if (path && (dlinfo(program, RTLD_DI_SERINFOSIZE, path) < 0 || dlinfo(program, RTLD_DI_SERINFO, path) < 0)) {
		free(path);
		path = NULL;
	}
	if (program)
		dlclose(program);
	return path;
}

static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int find(const char *name)
{
	Dl_serinfo *path;
	int fd = -1;
	char *file;

	if (strchr(name, '/'))
		return open_file(name);
	path = search_path();
	for (unsigned i = 0; path && fd < 0 && i < path->dls_cnt; i++) {
		if (asprintf(&file, "%s/%s", path->dls_serpath[i].dls_name, name) < 0)
			break;
		fd = open_file(file);
		free(file);
	}
	free(path);
	return fd;
}

int module_library_read(struct module_file *file, const char *name)
{
	struct platter_error error;
	int fd = find(name), result;

	*file = (struct module_file){ .path = name };
	if (fd < 0)
		return -ENOENT;
	result = module_file_open(file, fd, name, &error);
	close(fd);
	if (result == 0 && (!file->native || !file->symbols))
		result = -ENOEXEC;
	return result;
}
