/* SPDX-License-Identifier: BSD-2-Clause */
/* A directory of the test's own. */
#ifndef UNIT_DIRECTORY_H
#define UNIT_DIRECTORY_H

#include <stddef.h>

/* For a test or a group: makes it, empty; removes it with all that is in it. */
int directory_setup(void **state);
int directory_teardown(void **state);

const char *directory_name(void);

/* The path of NAME in it; valid until the next eight calls. */
const char *directory_path(const char *name);

/* Writes SIZE bytes to NAME; their path. */
const char *directory_write(const char *name, const void *bytes, size_t size);
const char *directory_write_text(const char *name, const char *text);

#endif
