/* SPDX-License-Identifier: BSD-2-Clause */
/* Columns of text, as wide as what is in them. */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include <stdint.h>

struct table;

/* HEADINGS: words separated by spaces; one that starts with > is of a column that is aligned to the right; _ is a space. */
struct table *table_new(const char *headings);

/* One more column, of numbers, before the first row; HEADING is taken as it is. */
void table_add_column(struct table *table, const char *heading);

/* The next cell, row by row; formatted as printf() does. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* BYTES as lsblk(8) writes them: 512M, 1.5G. */
void table_add_size(struct table *table, uint64_t bytes);

/* Prints and frees it. */
void table_print(struct table *table);
/* NULL is allowed. */
void table_free(struct table *table);

#endif
