/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what partition_scan() finds: partition_list FILE SECTOR-SIZE; a line each, fields separated by tabs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/block/error.h"
#include "server/block/partition.h"

static int read_file(void *context, uint64_t offset, void *buffer, size_t length)
{
	ssize_t done = pread(*(int *)context, buffer, length, (off_t)offset);

	if (done < 0)
		return -errno;
	return (size_t)done == length ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	static struct partition found[2048];
	struct platter_error error = { .text = "" };
	int fd = argc == 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct stat stat;
	int count;

	if (fd < 0 || fstat(fd, &stat)) {
		perror("partition_list FILE SECTOR-SIZE");
		return 2;
	}
	const struct partition_source source = { .name = argv[1], .read = read_file, .context = &fd,
						 .bytes = (uint64_t)stat.st_size, .sector_size = (unsigned)atoi(argv[2]) };

	count = partition_scan(&source, found, sizeof(found) / sizeof(found[0]), &error);
	for (int i = 0; i < count; i++)
		printf("%u\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s\n", found[i].number, found[i].start, found[i].length,
		       found[i].type, found[i].uuid, found[i].label);
	close(fd);
	if (count < 0)
		fprintf(stderr, "%s\n", error.text);
	return count < 0;
}
