/* SPDX-License-Identifier: BSD-2-Clause */
/* Several disks, one behind the other, as one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/stack.h>

PLATTER_IMPORT(stack_geometry);
PLATTER_IMPORT(stack_lend);
PLATTER_IMPORT(stack_segments);

#define MOST_DISKS 16
#define SEGMENTS 6

struct linear {
	char *names;                              /* as configured, cut into pieces */
	unsigned count;
	const char *name[MOST_DISKS];
	struct platter_lower *lower[MOST_DISKS];  /* while it is open */
	uint64_t start[MOST_DISKS + 1];           /* where each begins; the last: the end of all */
	bool lends;                               /* all of them do: so does it */
};

/* In the request's data: it is done piece by piece, each on one disk. */
struct progress {
	struct platter_request *request;
	uint64_t done;       /* bytes */
	uint64_t length;     /* of the piece that is being done */
	unsigned flushed;    /* of a FLUSH: disks */
	struct platter_lower_io io;
	struct iovec part[SEGMENTS];
};

_Static_assert(sizeof(struct progress) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

/* "disk0+disk1" */
static int cut_names(struct linear *linear, struct platter_error *error)
{
	char *rest = NULL;

	for (char *name = strtok_r(linear->names, "+", &rest); name; name = strtok_r(NULL, "+", &rest)) {
		if (linear->count == MOST_DISKS)
			return platter_fail(error, EINVAL, "more than %d disks", MOST_DISKS);
		linear->name[linear->count++] = name;
	}
	return linear->count ? 0 : platter_fail(error, EINVAL, "of which disks? write linear:DISK+DISK");
}

static int linear_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	struct linear *linear = calloc(1, sizeof(*linear));
	int result;

	(void)read_only;
	if (!linear || !(linear->names = strdup(platter_args_string(args, "disks", "")))) {
		free(linear);
		return platter_fail(error, ENOMEM, "no memory");
	}
	result = cut_names(linear, error);
	if (result < 0) {
		free(linear->names);
		free(linear);
		return result;
	}
	platter_disk_set_data(disk, linear);
	return 0;
}

static void linear_remove(struct platter_disk *disk)
{
	struct linear *linear = platter_disk_data(disk);

	free(linear->names);
	free(linear);
}

static int linear_release(struct platter_disk *disk, struct platter_error *error)
{
	struct linear *linear = platter_disk_data(disk);

	(void)error;
	for (unsigned i = 0; i < linear->count; i++) {
		platter_lower_close(linear->lower[i]);
		linear->lower[i] = NULL;
	}
	return 0;
}

static int linear_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	struct linear *linear = platter_disk_data(disk);
	int result = 0;

	for (unsigned i = 0; result == 0 && i < linear->count; i++)
		result = platter_lower_open(disk, linear->name[i], &linear->lower[i], error);
	if (result == 0)
		result = stack_geometry(geometry, linear->lower, linear->count);
	for (unsigned i = 0; result == 0 && i < linear->count; i++) {
		/* A request that crosses a border is whole blocks on both sides. */
		uint64_t bytes = platter_lower_bytes(linear->lower[i]) & ~(uint64_t)(geometry->min_block - 1);

		if (bytes > INT64_MAX - linear->start[i])
			result = platter_fail(error, EFBIG, "together the disks are too large");
		else
			linear->start[i + 1] = linear->start[i] + bytes;
	}
	geometry->bytes = linear->start[linear->count];
	linear->lends = geometry->capabilities & PLATTER_DISK_LENDS;
	if (result < 0)
		(void)linear_release(disk, error);
	return result;
}

static void go_on(struct progress *progress);

static void piece_done(struct platter_lower_io *io, int error)
{
	struct progress *progress = (struct progress *)(void *)((char *)io - offsetof(struct progress, io));
	const struct linear *linear = platter_disk_data(progress->request->disk);

	progress->done += progress->length;
	if (error == 0 && io->op == PLATTER_OP_READ && linear->lends)
		error = stack_lend(progress->request, io);
	/* What the first disk tells of its end of the range is enough: it may have told less. */
	if (error || io->op == PLATTER_OP_EXTENTS)
		platter_request_complete(progress->request, error);
	else
		go_on(progress);
}

static void flush_next(struct progress *progress, const struct linear *linear)
{
	if (progress->flushed == linear->count) {
		platter_request_complete(progress->request, 0);
		return;
	}
	progress->io = (struct platter_lower_io){ .op = PLATTER_OP_FLUSH, .done = piece_done };
	platter_lower_submit(linear->lower[progress->flushed++], &progress->io);
}

/* The next piece: what is left, up to the end of its disk, in as many segments as there is room for, or lent. */
static void go_on(struct progress *progress)
{
	struct platter_request *request = progress->request;
	const struct linear *linear = platter_disk_data(request->disk);
	uint64_t at = request->offset + progress->done;
	uint64_t length = request->length - progress->done;
	unsigned index = 0;

	if (request->op == PLATTER_OP_FLUSH) {
		flush_next(progress, linear);
		return;
	}
	if (length == 0) {
		platter_request_complete(request, 0);
		return;
	}
	while (at >= linear->start[index + 1])
		index++;
	if (length > linear->start[index + 1] - at)
		length = linear->start[index + 1] - at;
	progress->io = (struct platter_lower_io){ .op = request->op, .flags = request->flags, .iov = progress->part,
						  .offset = at - linear->start[index], .request = request, .done = piece_done };
	/* One that is to be lent has those of the pieces that are done. */
	if (request->iovcnt && !(request->op == PLATTER_OP_READ && linear->lends))
		progress->io.iovcnt = stack_segments(progress->part, SEGMENTS, request->iov, request->iovcnt, progress->done, length,
						     &length);
	progress->io.length = progress->length = length;
	platter_lower_submit(linear->lower[index], &progress->io);
}

static void linear_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct progress *progress = (struct progress *)(void *)request->data;

	(void)disk;
	progress->request = request;
	progress->done = progress->length = progress->flushed = 0;
	go_on(progress);
}

static const struct platter_key linear_keys[] = {
	{ "disks", PLATTER_KEY_STRING, "the disks, in their order, as in disk0+disk1" },
	{ .name = NULL },
};

static const struct platter_disk_ops linear_ops = {
	.size = sizeof(linear_ops),
	.open = linear_open,
	.release = linear_release,
	.submit = linear_submit,
};

static const struct platter_driver linear_driver = {
	.size = sizeof(linear_driver),
	.name = "linear",
	.description = "several disks, one behind the other",
	.keys = linear_keys,
	.ops = &linear_ops,
	.probe = linear_probe,
	.remove = linear_remove,
};

static int linear_init(void)
{
	return platter_register_driver(&linear_driver);
}

static void linear_exit(void)
{
	platter_unregister_driver(&linear_driver);
}

PLATTER_MODULE("linear", "1.0", "BSD-2-Clause", "The Platter developers", "several disks, one behind the other");
PLATTER_INIT(linear_init);
PLATTER_EXIT(linear_exit);
PLATTER_ALIAS("driver:linear");
