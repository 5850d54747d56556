/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static char directory[] = "/tmp/platter-unit-XXXXXX";

int directory_setup(void **state)
{
	(void)state;
	memcpy(strrchr(directory, '-'), "-XXXXXX", 7);
	return mkdtemp(directory) ? 0 : -1;
}

int directory_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

const char *directory_name(void)
{
	return directory;
}

const char *directory_path(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

const char *directory_write(const char *name, const void *bytes, size_t size)
{
	const char *path = directory_path(name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

const char *directory_write_text(const char *name, const char *text)
{
	return directory_write(name, text, strlen(text));
}
