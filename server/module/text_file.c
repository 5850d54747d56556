/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/driver.h>

#include "server/block/error.h"

/* A file that came from elsewhere may end its lines with \r\n. */
static const char blanks[] = " \t\r\v\f";

/* Reads what FILE has, but no more than SIZE. */
static int read_all(int file, char *buffer, size_t size, size_t *ret)
{
	ssize_t done;

	*ret = 0;
	while (*ret < size) {
		done = read(file, buffer + *ret, size - *ret);
		if (done == 0)
			break;
		if (done > 0)
			*ret += (size_t)done;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int text_file_open(const char *path, struct platter_error *error)
{
	/* Non-blocking: a FIFO of that name would hang us. */
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return file < 0 ? platter_fail(error, errno, "%s: %s", path, strerror(errno)) : file;
}

int text_file_read_from(int file, const char *path, char **ret, struct platter_error *error)
{
	size_t length = 0;
	char *text;
	int result;

	text = malloc(TEXT_FILE_MAX + 1);
	result = text ? read_all(file, text, TEXT_FILE_MAX + 1, &length) : -ENOMEM;
	if (result < 0) {
		platter_fail(error, -result, "%s: %s", path, strerror(-result));
	} else if (length > TEXT_FILE_MAX) {
		result = platter_fail(error, EFBIG, "%s: larger than the %u bytes that are read", path, TEXT_FILE_MAX);
	} else if (memchr(text, '\0', length)) {
		result = platter_fail(error, EINVAL, "%s: not a text, it has a zero byte", path);
	} else {
		text[length] = '\0';
		*ret = text;
		return 0;
	}
	free(text);
	return result;
}

int text_file_read(const char *path, char **ret, struct platter_error *error)
{
	int file = text_file_open(path, error);
	int result;

	if (file < 0)
		return file;
	result = text_file_read_from(file, path, ret, error);
	close(file);
	return result;
}

/* Fills the new file, which is closed in any case. */
static int fill(int descriptor, void (*write)(FILE *file, const void *data), const void *data)
{
	FILE *file = fdopen(descriptor, "w");
	int result = 0;

	if (!file) {
		result = -errno;
		close(descriptor);
		return result;
	}
	errno = 0;
	write(file, data);
	/* What was printed may have failed on the way; errno is then of the last failure, or lost. */
	if (ferror(file) || fflush(file) != 0 || fchmod(descriptor, 0644) < 0 || fsync(descriptor) < 0)
		result = errno ? -errno : -EIO;
	if (fclose(file) != 0 && result == 0)
		result = -errno;
	return result;
}

/* What was renamed there is so after a loss of power, too. */
static int sync_directory(const char *directory)
{
	int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = descriptor < 0 || fsync(descriptor) < 0 ? -errno : 0;

	if (descriptor >= 0)
		close(descriptor);
	/* Some file systems don't know it. */
	return result == -EINVAL ? 0 : result;
}

int text_file_write(const char *directory, const char *name, void (*write)(FILE *file, const void *data),
		    const void *data, struct platter_error *error)
{
	char *path = NULL, *temporary = NULL;
	int descriptor, result = 0;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		path = NULL;
	if (asprintf(&temporary, "%s/.%s.XXXXXX", directory, name) < 0)
		temporary = NULL;
	if (!path || !temporary) {
		result = platter_fail(error, ENOMEM, "no memory");
		goto out;
	}
	descriptor = mkostemp(temporary, O_CLOEXEC);
	if (descriptor < 0) {
		result = platter_fail(error, errno, "%s: cannot be made: %s", path, strerror(errno));
		goto out;
	}
	result = fill(descriptor, write, data);
	if (result == 0 && rename(temporary, path) < 0)
		result = -errno;
	if (result < 0) {
		platter_fail(error, -result, "%s: cannot be written: %s", path, strerror(-result));
		unlink(temporary);
		goto out;
	}
	result = sync_directory(directory);
	if (result < 0)
		platter_fail(error, -result, "%s: is there, but perhaps not after a loss of power: %s", path, strerror(-result));
out:
	free(temporary);
	free(path);
	return result;
}

/* The bytes at AT, in the middle of a line, that make it go on in the next one. */
static size_t continuation(const char *at)
{
	if (at[0] != '\\')
		return 0;
	if (at[1] == '\r' && at[2] == '\n')
		return 3;
	return at[1] == '\n' ? 2 : !at[1];
}

/* Cuts off a line, with those that continue it: these move up. */
static char *cut_line(struct text_lines *lines)
{
	char *line = lines->next, *from = line, *to = line;

	lines->line = lines->breaks + 1;
	while (*from && *from != '\n') {
		size_t skip = continuation(from);

		from += skip;
		if (skip > 0)
			lines->breaks++;
		else
			*to++ = *from++;
	}
	lines->breaks += *from == '\n';
	lines->next = *from ? from + 1 : from;
	*to = '\0';
	return line;
}

char *text_lines_next(struct text_lines *lines)
{
	while (*lines->next) {
		char *line = cut_line(lines);

		line += strspn(line, blanks);
		if (*line && *line != '#')
			return line;
	}
	return NULL;
}

char *text_word(char **rest, bool *unclosed)
{
	char *from = *rest + strspn(*rest, blanks), *word = from, *to = from;
	bool quoted = false;

	if (!*from)
		return NULL;
	for (; *from && (quoted || !strchr(blanks, *from)); from++) {
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
	}
	*rest = *from ? from + 1 : from;
	*to = '\0';
	*unclosed |= quoted;
	return word;
}
