/* SPDX-License-Identifier: BSD-2-Clause */
/* Modules to test with, good and bad, built from tests/meta/module_example.c by the compiler that built the tests. */
#ifndef UNIT_MODULE_FIXTURE_H
#define UNIT_MODULE_FIXTURE_H

#include <stddef.h>

#include "server/module/module_file.h"
#include "server/module/module_info.h"

/* For the test group, with directory_teardown(): its directory, with a good module in it, module_example.so. */
int fixture_setup(void **state);

/* Compiles SOURCE into NAME with FLAGS, as a module's would be; its path. */
const char *fixture_compile(const char *name, const char *source, const char *flags);

/* The example with MORE code behind it, compiled with more FLAGS; its path. */
const char *fixture_module(const char *name, const char *more, const char *flags);

/* The bytes of the file at PATH, to be freed. */
unsigned char *fixture_bytes(const char *path, size_t *size);

/* A module's file, read. */
struct fixture {
	int fd;
	int result;                 /* of reading and checking it */
	struct platter_error error;
	struct module_file file;
	struct module_info info;
};

/* Opens, reads and checks the module at PATH, or open as FD, which it takes. */
void fixture_open(struct fixture *fixture, const char *path);
void fixture_take(struct fixture *fixture, int fd);
void fixture_close(struct fixture *fixture);

/* Expects the module at PATH to be refused with a reason that has TEXT in it. */
void fixture_refused(const char *path, const char *text);

#endif
