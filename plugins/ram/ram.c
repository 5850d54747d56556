/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The RAM disk: a mapped memfd.  It is sparse: memory is taken by what is
 * written and given back by TRIM and ZEROES.  Reads lend the mapping itself.
 * The content lives as long as the disk, not only while it is open.
 */
#include "plugins/builtin.h"
#include "plugins/ram/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <platter/driver.h>

/* Reading a hole of the mapping would fill it with pages: whether a chunk may hold data is kept in a map. */
#define CHUNK_SHIFT 18
#define CHUNK_SIZE (UINT64_C(1) << CHUNK_SHIFT)
/* Zeroing and trimming run inside submit: more than this would hold up the reactor. */
#define MOST_AT_ONCE (UINT64_C(4) << 20)
/* Below this, ZEROES writes: what was zeroed is soon written again, and has its pages already. */
#define LEAST_PUNCH (UINT64_C(64) << 10)
#define HUGE_PAGE (UINT64_C(2) << 20)

struct ram_disk {
	atomic_uint_fast64_t size;
	uint64_t limit; /* what it can grow to: so much is mapped, and in `map` */
	uint64_t page; /* what memory is given back in */
	int fd;
	uint8_t *memory;
	uint8_t *map;  /* a byte for each chunk: 1 when it may hold data */
	uint64_t chunks;
};

static void ram_free(struct ram_disk *ram)
{
	if (!ram)
		return;
	if (ram->memory)
		munmap(ram->memory, ram->limit);
	if (ram->fd >= 0)
		close(ram->fd);
	free(ram->map);
	free(ram);
}

static void *map_memory(int fd, uint64_t size, int protection, int flags)
{
	void *memory = mmap(NULL, size, protection, flags, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static uint64_t machine_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : INT64_MAX;
}

/* MOST: what it may have. */
static int check_size(uint64_t size, uint64_t most, bool huge, struct platter_error *error)
{
	if (size == 0)
		return platter_fail(error, EINVAL, "the size is missing or 0; write, for example, ram:1G");
	if (huge && size % HUGE_PAGE)
		return platter_fail(error, EINVAL, "with huge=on the size must be a multiple of 2M");
	if (size > most)
		return platter_fail(error, ENOMEM, "%" PRIu64 " bytes is more than this machine's memory, %" PRIu64
				    " bytes; overcommit=on has a new disk be as large", size, most);
	return 0;
}

static int allocate(struct ram_disk *ram, const char *name, bool huge, struct platter_error *error)
{
	char label[64]; /* shown in /proc; the system takes no long ones */

	snprintf(label, sizeof(label), "%s", name);
	ram->fd = memfd_create(label, MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (ram->fd < 0 || ftruncate(ram->fd, (off_t)ram->size) < 0)
		return platter_fail(error, errno, "memory file: %s", strerror(errno));
	/* Address space costs nothing: with what lies behind the end mapped, too, the disk can grow in place. */
	ram->limit = huge || ram->size > machine_memory() ? ram->size : machine_memory();
	/* Huge pages are reserved here and now, so that no write can find them gone. */
	ram->memory = map_memory(ram->fd, ram->limit, PROT_READ | PROT_WRITE, MAP_SHARED | (huge ? 0 : MAP_NORESERVE));
	if (!ram->memory && huge)
		return platter_fail(error, ENOMEM, "huge=on: not enough huge pages are reserved; see sysctl vm.nr_hugepages");
	if (!ram->memory)
		return platter_fail(error, ENOMEM, "no memory: its size cannot be mapped");
	ram->chunks = (ram->limit + CHUNK_SIZE - 1) / CHUNK_SIZE;
	ram->map = calloc(ram->chunks, 1);
	return ram->map ? 0 : platter_fail(error, ENOMEM, "no memory");
}

static int ram_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	bool huge = platter_args_bool(args, "huge", false);
	bool overcommit = platter_args_bool(args, "overcommit", false);
	struct ram_disk *ram = calloc(1, sizeof(*ram));
	int result;

	(void)read_only;
	if (!ram)
		return platter_fail(error, ENOMEM, "no memory");
	ram->fd = -1;
	ram->page = huge ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	ram->size = platter_args_size(args, "size", 0);
	result = check_size(ram->size, overcommit ? INT64_MAX : machine_memory(), huge, error);
	if (result == 0)
		result = allocate(ram, platter_disk_name(disk), huge, error);
	if (result == 0 && platter_disk_set_identity(disk, NULL) < 0)
		result = platter_fail(error, ENOMEM, "no memory");
	if (result < 0) {
		ram_free(ram);
		return result;
	}
	platter_disk_set_data(disk, ram);
	platter_disk_set_capacity(disk, ram->size);
	return 0;
}

static void ram_remove(struct platter_disk *disk)
{
	ram_free(platter_disk_data(disk));
}

static int ram_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	const struct ram_disk *ram = platter_disk_data(disk);

	(void)error;
	geometry->bytes = ram->size;
	geometry->capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_CACHE |
				 PLATTER_DISK_COHERENT | PLATTER_DISK_LENDS | PLATTER_DISK_EXTENTS;
	geometry->max_zeroes = MOST_AT_ONCE;
	geometry->max_trim = MOST_AT_ONCE;
	return 0;
}

/* Bytes from OFFSET on, at most LENGTH, that lie in chunks of one kind, which is *DATA. */
static uint64_t run_length(const struct ram_disk *ram, uint64_t offset, uint64_t length, bool *data)
{
	uint64_t end = offset + length;
	uint64_t chunk = offset >> CHUNK_SHIFT;

	*data = ram->map[chunk];
	do {
		chunk++;
	} while (chunk << CHUNK_SHIFT < end && ram->map[chunk] == *data);
	return (chunk << CHUNK_SHIFT < end ? chunk << CHUNK_SHIFT : end) - offset;
}

static int ram_read(const struct ram_disk *ram, struct platter_request *request)
{
	uint64_t offset = request->offset;
	uint64_t left = request->length;
	int result = 0;

	while (left && result == 0) {
		bool data;
		uint64_t length = run_length(ram, offset, left, &data);

		result = platter_request_lend(request, data ? ram->memory + offset : NULL, length);
		offset += length;
		left -= length;
	}
	return result;
}

/* Whole pages hold data or not: where they are huge, all their chunks. */
static void mark_data(struct ram_disk *ram, uint64_t offset, uint64_t length)
{
	uint64_t unit = ram->page > CHUNK_SIZE ? ram->page : CHUNK_SIZE;
	uint64_t first = (offset & ~(unit - 1)) >> CHUNK_SHIFT;
	uint64_t last = ((offset + length - 1) | (unit - 1)) >> CHUNK_SHIFT;

	memset(ram->map + first, 1, (last < ram->chunks ? last + 1 : ram->chunks) - first);
}

/*
 * Huge pages that were given back are anybody's: to touch one that can't be had
 * again would end the server, so it is asked for.
 */
static int take_pages(struct ram_disk *ram, uint64_t offset, uint64_t length)
{
	uint64_t page = offset & ~(ram->page - 1);
	int result;

	for (; page < offset + length; page += ram->page) {
		if (ram->map[page >> CHUNK_SHIFT])
			continue;
		do {
			result = fallocate(ram->fd, 0, (off_t)page, (off_t)ram->page);
		} while (result < 0 && errno == EINTR);
		if (result < 0)
			return -errno;
		mark_data(ram, page, ram->page);
	}
	return 0;
}

/* Before a range is written. */
static int prepare(struct ram_disk *ram, uint64_t offset, uint64_t length)
{
	int result = ram->page > CHUNK_SIZE ? take_pages(ram, offset, length) : 0;

	if (result == 0)
		mark_data(ram, offset, length);
	return result;
}

static int ram_write(struct ram_disk *ram, const struct platter_request *request)
{
	uint8_t *to = ram->memory + request->offset;
	int result = prepare(ram, request->offset, request->length);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < request->iovcnt; i++) {
		const struct iovec *from = &request->iov[i];

		if (from->iov_len < STREAM_LEAST)
			memcpy(to, from->iov_base, from->iov_len);
		else
			stream_copy(to, from->iov_base, from->iov_len);
		to += from->iov_len;
	}
	return 0;
}

/* After a part of a chunk was given back: perhaps it was the last one. */
static void look_at_chunk(struct ram_disk *ram, uint64_t chunk)
{
	off_t data = lseek(ram->fd, (off_t)(chunk << CHUNK_SHIFT), SEEK_DATA);

	if (data < 0 ? errno == ENXIO : (uint64_t)data >> CHUNK_SHIFT > chunk)
		ram->map[chunk] = 0;
}

/* Gives back the whole pages of a range, if it has LEAST bytes; what is left of it becomes zeroes. */
static int punch(struct ram_disk *ram, uint64_t offset, uint64_t length, uint64_t least)
{
	uint64_t end = offset + length;
	uint64_t first = (offset + ram->page - 1) & ~(ram->page - 1);
	/* Behind the disk's end there is nothing to keep. */
	uint64_t last = (end == ram->size ? end + ram->page - 1 : end) & ~(ram->page - 1);

	if (length < least || first >= last) {
		memset(ram->memory + offset, 0, length);
		return 0;
	}
	memset(ram->memory + offset, 0, first - offset);
	if (last < end)
		memset(ram->memory + last, 0, end - last);
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first, (off_t)(last - first)) < 0)
		return -errno;
	for (uint64_t chunk = (first + CHUNK_SIZE - 1) >> CHUNK_SHIFT;
	     chunk << CHUNK_SHIFT < last && ((chunk + 1) << CHUNK_SHIFT <= last || end == ram->size); chunk++)
		ram->map[chunk] = 0;
	if (ram->map[first >> CHUNK_SHIFT])
		look_at_chunk(ram, first >> CHUNK_SHIFT);
	if (ram->map[(end - 1) >> CHUNK_SHIFT])
		look_at_chunk(ram, (end - 1) >> CHUNK_SHIFT);
	return 0;
}

/* Makes a range read as zeroes, and costs nothing where it does already. */
static int ram_clear(struct ram_disk *ram, const struct platter_request *request)
{
	uint64_t offset = request->offset;
	uint64_t left = request->length;
	uint64_t least = request->op == PLATTER_OP_TRIM ? ram->page : LEAST_PUNCH;
	int result = 0;

	while (left && result == 0) {
		bool data;
		uint64_t length = run_length(ram, offset, left, &data);

		if (data)
			result = punch(ram, offset, length, least);
		offset += length;
		left -= length;
	}
	return result;
}

static int ram_zeroes(struct ram_disk *ram, const struct platter_request *request)
{
	int result;

	if (!(request->flags & PLATTER_REQ_NO_HOLE))
		return ram_clear(ram, request);
	/* Memory that must stay has to be written, which takes as long as a write. */
	if (request->flags & PLATTER_REQ_FAST_ZERO)
		return -ENOTSUP;
	result = prepare(ram, request->offset, request->length);
	if (result == 0)
		memset(ram->memory + request->offset, 0, request->length);
	return result;
}

static void ram_extents(const struct ram_disk *ram, struct platter_request *request)
{
	uint64_t offset = request->offset;
	uint64_t left = request->length;
	bool enough = false;

	while (left && !enough) {
		bool data;
		uint64_t length = run_length(ram, offset, left, &data);

		enough = platter_request_extent(request, length, data ? 0 : PLATTER_EXTENT_HOLE | PLATTER_EXTENT_ZERO);
		offset += length;
		left -= length;
	}
}

static void ram_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct ram_disk *ram = platter_disk_data(disk);
	int result = 0;

	switch (request->op) {
	case PLATTER_OP_READ:
		result = ram_read(ram, request);
		break;
	case PLATTER_OP_WRITE:
		result = ram_write(ram, request);
		break;
	case PLATTER_OP_TRIM:
		result = ram_clear(ram, request);
		break;
	case PLATTER_OP_ZEROES:
		result = ram_zeroes(ram, request);
		break;
	case PLATTER_OP_EXTENTS:
		ram_extents(ram, request);
		break;
	default: /* FLUSH, CACHE: it is all there is */
		break;
	}
	platter_request_complete(request, result);
}

static int ram_revalidate(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error)
{
	const struct ram_disk *ram = platter_disk_data(disk);

	(void)error;
	*bytes = ram->size;
	return 0;
}

/* Smaller only while nobody uses it: then no request looks at what is cut off. */
static int ram_resize(struct platter_disk *disk, uint64_t bytes, struct platter_error *error)
{
	struct ram_disk *ram = platter_disk_data(disk);
	int result = check_size(bytes, ram->limit, false, error);

	if (result < 0)
		return result;
	if (ram->page > CHUNK_SIZE)
		return platter_fail(error, EOPNOTSUPP, "a RAM disk of huge pages cannot be resized");
	if (ftruncate(ram->fd, (off_t)bytes) < 0)
		return platter_fail(error, errno, "memory file: %s", strerror(errno));
	/* What comes back after shrinking and growing is holes; the chunk that was cut in the middle may hold data. */
	for (uint64_t chunk = (bytes + CHUNK_SIZE - 1) >> CHUNK_SHIFT; chunk << CHUNK_SHIFT < ram->size; chunk++)
		ram->map[chunk] = 0;
	ram->size = bytes;
	return 0;
}

static int ram_ioctl(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv,
		     struct platter_reply *reply, struct platter_error *error)
{
	const struct ram_disk *ram = platter_disk_data(disk);
	struct stat status;

	(void)command;
	if (argc)
		return platter_fail(error, EINVAL, "usage: %s: not expected", argv[0]);
	if (fstat(ram->fd, &status) < 0)
		return platter_fail(error, errno, "memory file: %s", strerror(errno));
	platter_reply(reply, "%" PRIu64 " of %" PRIu64 " bytes", (uint64_t)status.st_blocks * 512, (uint64_t)ram->size);
	return 0;
}

static const struct platter_command ram_commands[] = {
	{ "usage", "", "how much memory its data takes" },
	{ .name = NULL },
};

static const struct platter_key ram_keys[] = {
	{ "size", PLATTER_KEY_SIZE, "of the disk, at most the machine's memory" },
	{ "overcommit", PLATTER_KEY_BOOL, "the size may exceed that, as long as the data doesn't (off)" },
	{ "huge", PLATTER_KEY_BOOL, "use huge pages, which must be reserved (off)" },
	{ .name = NULL },
};

static const struct platter_disk_ops ram_ops = {
	.size = sizeof(ram_ops),
	.open = ram_open,
	.submit = ram_submit,
	.revalidate = ram_revalidate,
	.resize = ram_resize,
	.ioctl = ram_ioctl,
	.commands = ram_commands,
};

const struct platter_driver ram_driver = {
	.size = sizeof(ram_driver),
	.name = "ram",
	.description = "RAM disk: its content ends with the server",
	.keys = ram_keys,
	.ops = &ram_ops,
	.probe = ram_probe,
	.remove = ram_remove,
};

#ifdef PLATTER_AS_MODULE
#include <platter/module.h>

static int ram_init(void)
{
	return platter_register_driver(&ram_driver);
}

static void ram_exit(void)
{
	platter_unregister_driver(&ram_driver);
}

PLATTER_MODULE("ram", "1.0", "BSD-2-Clause", "The Platter developers", "RAM disks");
PLATTER_INIT(ram_init);
PLATTER_EXIT(ram_exit);
PLATTER_ALIAS("driver:ram");
#endif
