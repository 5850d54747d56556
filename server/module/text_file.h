/* SPDX-License-Identifier: BSD-2-Clause */
/* Small text files of lines: read whole, and written so that nobody ever sees half of one. */
#ifndef MODULE_TEXT_FILE_H
#define MODULE_TEXT_FILE_H

#include <stdbool.h>
#include <stdio.h>

struct platter_error;

/* The largest file that is read. */
#define TEXT_FILE_MAX (1u << 20)

/* Reads PATH; the caller frees *RET.  -ENOENT and other errors of open(2); -EINVAL: it isn't text; -EFBIG. */
int text_file_read(const char *path, char **ret, struct platter_error *error);
/* The same of FILE, a descriptor for reading, which stays open; PATH is for messages. */
int text_file_read_from(int file, const char *path, char **ret, struct platter_error *error);
/* That descriptor: what stands there may be anything, and doesn't hold us up. */
int text_file_open(const char *path, struct platter_error *error);

/*
 * Makes DIRECTORY/NAME, or puts another in its place, of what WRITE prints: a
 * file of another name is written, synchronised and renamed, and the
 * directory synchronised, too.
 */
int text_file_write(const char *directory, const char *name, void (*write)(FILE *file, const void *data),
		    const void *data, struct platter_error *error);

/* A text that is gone through, and cut, line by line. */
struct text_lines {
	char *next;
	unsigned line;   /* number of the line that text_lines_next() returned; its first, if it is continued */
	unsigned breaks; /* line ends before NEXT */
};

/*
 * The next line that isn't blank and doesn't start with '#', without what
 * blanks it starts with; NULL at the end.  A backslash at the end of a line
 * joins it with the following one.
 */
char *text_lines_next(struct text_lines *lines);

/*
 * Cuts the next word off *REST.  Words end at blanks; double quotes keep blanks
 * in a word and are themselves taken away.  NULL: there is none.  Sets
 * *UNCLOSED if the last quote is missing.
 */
char *text_word(char **rest, bool *unclosed);

#endif
