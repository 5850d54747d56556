/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes as people write them: 512, 4K, 1G, 10GiB (all binary). */
#ifndef COMMON_SIZE_H
#define COMMON_SIZE_H

#include <stdint.h>

/* 0; -EINVAL when TEXT isn't a size; -ERANGE when it exceeds 2^63 - 1, the most that a file can have. */
int size_parse(const char *text, uint64_t *ret);

/* The shortest exact form: "1 GiB", "1536 MiB", "513 bytes".  OUT has at least 32 bytes; returns OUT. */
char *size_format(char *out, uint64_t bytes);

#endif
