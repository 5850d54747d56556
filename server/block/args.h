/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of one disk as configured, checked against what its driver declares. */
#ifndef BLOCK_ARGS_H
#define BLOCK_ARGS_H

#include <platter/driver.h>

struct args;

/* Empty; NULL when there is no memory. */
struct args *args_new(void);
/* NULL is allowed. */
void args_free(struct args *args);

/*
 * Adds KEY, which DRIVER must know, with VALUE of its type; KEY NULL: the
 * driver's first key.  VALUE NULL: a bare key, which means on.  -EINVAL for what
 * is wrong, -ENOMEM.
 */
int args_set(struct args *args, const struct platter_driver *driver, const char *key, const char *value,
	     struct platter_error *error);

/* As a driver sees them. */
const struct platter_args *args_driver_side(const struct args *args);

/* "on" and "off" and their like; false when TEXT is neither. */
bool args_parse_bool(const char *text, bool *ret);

#endif
