/* SPDX-License-Identifier: BSD-2-Clause */
/* What iostat(1) -x says of a disk, from two answers of the method `stats`; see platter-control(7). */
#ifndef CLIENT_IOSTAT_H
#define CLIENT_IOSTAT_H

#include <jansson.h>

#define IOSTAT_COLUMNS 22

extern const char *const iostat_columns[IOSTAT_COLUMNS];

/* What happened to DISK, an element of the later answer's list, since BEFORE, one of the earlier's; NULL: since it was added. */
void iostat_values(double values[IOSTAT_COLUMNS], const json_t *disk, const json_t *before);

#endif
