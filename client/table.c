/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define MOST_COLUMNS 24

struct table {
	unsigned columns;
	bool right[MOST_COLUMNS];
	size_t count, room;  /* of cells, the headings' included */
	char **cells;
};

/* Without memory there is nothing to be printed. */
static void *need(void *memory)
{
	if (memory)
		return memory;
	fprintf(stderr, "%s: error: no memory\n", program_invocation_short_name);
	exit(EXIT_FAILURE);
}

static void add(struct table *table, char *text)
{
	if (table->count == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->cells = need(realloc(table->cells, table->room * sizeof(*table->cells)));
	}
	table->cells[table->count++] = need(text);
}

/* A copy without its mark; _ stands for a space. */
static char *heading(const char *word)
{
	char *copy = need(strdup(*word == '>' ? word + 1 : word));
	char *at;

	while ((at = strchr(copy, '_')))
		*at = ' ';
	return copy;
}

struct table *table_new(const char *headings)
{
	struct table *table = need(calloc(1, sizeof(*table)));
	char *copy = need(strdup(headings));
	char *rest = NULL;

	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		table->right[table->columns++] = *word == '>';
		add(table, heading(word));
	}
	free(copy);
	return table;
}

void table_add_column(struct table *table, const char *heading)
{
	table->right[table->columns++] = true;
	add(table, strdup(heading));
}

void table_add(struct table *table, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	add(table, text);
}

void table_add_size(struct table *table, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;
	uint64_t tenths;
	uint64_t scale = 1;

	while (unit < sizeof(units) - 2 && bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	tenths = (uint64_t)((double)bytes / (double)scale * 10 + 0.5);
	if (tenths % 10)
		table_add(table, "%u.%u%c", (unsigned)(tenths / 10), (unsigned)(tenths % 10), units[unit]);
	else
		table_add(table, "%u%c", (unsigned)(tenths / 10), units[unit]);
}

/* Columns on a terminal. */
static size_t width(const char *text)
{
	wchar_t wide[256];
	size_t length = mbstowcs(wide, text, sizeof(wide) / sizeof(wide[0]));
	int columns = length < sizeof(wide) / sizeof(wide[0]) ? wcswidth(wide, length) : -1;

	return columns < 0 ? strlen(text) : (size_t)columns;
}

static void print_row(char **cells, const struct table *table, const size_t *widths)
{
	for (unsigned i = 0; i < table->columns; i++) {
		int pad = (int)(widths[i] - width(cells[i]));
		bool last = i + 1 == table->columns;

		if (table->right[i])
			printf("%*s%s", pad, "", cells[i]);
		else
			printf("%s%*s", cells[i], last ? 0 : pad, "");
		putchar(last ? '\n' : ' ');
	}
}

void table_print(struct table *table)
{
	size_t widths[MOST_COLUMNS] = { 0 };

	for (size_t i = 0; i < table->count; i++)
		if (width(table->cells[i]) > widths[i % table->columns])
			widths[i % table->columns] = width(table->cells[i]);
	for (size_t row = 0; row + table->columns <= table->count; row += table->columns)
		print_row(table->cells + row, table, widths);
	table_free(table);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}
