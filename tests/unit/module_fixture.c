/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/module_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/module/module_check.h"
#include "tests/unit/directory.h"
#include "tests/unit/unit.h"

int fixture_setup(void **state)
{
	umask(022);
	if (directory_setup(state) < 0)
		return -1;
	fixture_module("module_example.so", "", "");
	return 0;
}

const char *fixture_compile(const char *name, const char *source, const char *flags)
{
	const char *path = directory_path(name);
	char command[1024];

	directory_write_text("source.c", source);
	/* The linker warns of what is wrong here on purpose: only failures are shown. */
	assert_in_range(snprintf(command, sizeof(command), "{ " FIXTURE_CC " -w -O1 -fPIC -I" FIXTURE_ROOT "/include -o %s %s %s; }"
				 " >%s 2>&1 || { cat %s >&2; false; }", path, directory_path("source.c"), flags, directory_path("log"),
				 directory_path("log")), 1, sizeof(command) - 1);
	assert_int_equal(system(command), 0);
	return path;
}

const char *fixture_module(const char *name, const char *more, const char *flags)
{
	char source[8192], all[512];

	assert_in_range(snprintf(source, sizeof(source), "#include \"" FIXTURE_ROOT "/tests/meta/module_example.c\"\n%s\n", more), 1,
			sizeof(source) - 1);
	snprintf(all, sizeof(all), "-shared %s", flags);
	return fixture_compile(name, source, all);
}

unsigned char *fixture_bytes(const char *path, size_t *size)
{
	FILE *file = fopen(path, "re");
	unsigned char *bytes = malloc(1 << 20);

	assert_non_null(file);
	assert_non_null(bytes);
	*size = fread(bytes, 1, 1 << 20, file);
	assert_in_range(*size, 1, (1 << 20) - 1);
	fclose(file);
	return bytes;
}

void fixture_take(struct fixture *fixture, int fd)
{
	*fixture = (struct fixture){ .fd = fd };
	assert_true(fd >= 0);
	fixture->result = module_file_open(&fixture->file, fd, "test.so", &fixture->error);
	if (fixture->result == 0)
		fixture->result = module_info_read(&fixture->info, &fixture->file, &fixture->error);
	if (fixture->result == 0)
		fixture->result = module_check(&fixture->file, &fixture->info, &fixture->error);
	assert_true((fixture->result < 0) == (fixture->error.text[0] != '\0'));
}

void fixture_open(struct fixture *fixture, const char *path)
{
	fixture_take(fixture, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

void fixture_close(struct fixture *fixture)
{
	module_info_free(&fixture->info);
	module_file_close(&fixture->file);
	close(fixture->fd);
}

void fixture_refused(const char *path, const char *text)
{
	struct fixture fixture;

	fixture_open(&fixture, path);
	assert_true(fixture.result < 0);
	assert_says(fixture.error.text, text);
	fixture_close(&fixture);
}
