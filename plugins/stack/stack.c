/* SPDX-License-Identifier: BSD-2-Clause */
#include <platter/stack.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

PLATTER_EXPORT_SYMBOL(stack_probe);
PLATTER_EXPORT_SYMBOL(stack_remove);
PLATTER_EXPORT_SYMBOL(stack_open);
PLATTER_EXPORT_SYMBOL(stack_release);
PLATTER_EXPORT_SYMBOL(stack_pass);
PLATTER_EXPORT_SYMBOL(stack_lend);
PLATTER_EXPORT_SYMBOL(stack_geometry);
PLATTER_EXPORT_SYMBOL(stack_segments);

/* What a disk has only if all below it have it. */
#define COMMON (PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES | PLATTER_DISK_CACHE | PLATTER_DISK_COHERENT | \
		PLATTER_DISK_LENDS)
/* What it has if one of them has it. */
#define ANY (PLATTER_DISK_READ_ONLY | PLATTER_DISK_ROTATIONAL | PLATTER_DISK_EXTENTS)

_Static_assert(sizeof(struct platter_lower_io) + sizeof(void *) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

int stack_probe(struct platter_disk *disk, const struct platter_args *args, size_t size, struct platter_error *error)
{
	const char *name = platter_args_string(args, "disk", NULL);
	struct stack_disk *stack;

	if (!name)
		return platter_fail(error, EINVAL, "the key disk is missing: the name of the disk that it stands on");
	stack = calloc(1, size);
	if (!stack || !(stack->name = strdup(name))) {
		free(stack);
		return platter_fail(error, ENOMEM, "no memory");
	}
	platter_disk_set_data(disk, stack);
	return 0;
}

void stack_remove(struct platter_disk *disk)
{
	struct stack_disk *stack = platter_disk_data(disk);

	free(stack->name);
	free(stack);
}

int stack_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	struct stack_disk *stack = platter_disk_data(disk);
	int result = platter_lower_open(disk, stack->name, &stack->lower, error);

	if (result < 0)
		return result;
	geometry->bytes = platter_lower_bytes(stack->lower);
	return stack_geometry(geometry, &stack->lower, 1);
}

int stack_release(struct platter_disk *disk)
{
	struct stack_disk *stack = platter_disk_data(disk);

	platter_lower_close(stack->lower);
	stack->lower = NULL;
	return 0;
}

int stack_lend(struct platter_request *request, const struct platter_lower_io *io)
{
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < io->iovcnt; i++)
		result = platter_request_lend(request, io->iov[i].iov_base, io->iov[i].iov_len);
	return result;
}

/* In the request's data. */
struct passing {
	struct platter_request *request;
	struct platter_lower_io io;
};

static void passed(struct platter_lower_io *io, int error)
{
	struct passing *passing = (struct passing *)(void *)((char *)io - offsetof(struct passing, io));
	struct platter_request *request = passing->request;

	/* A read that came without segments is answered with memory that was lent. */
	if (error == 0 && request->op == PLATTER_OP_READ && request->iovcnt == 0)
		error = stack_lend(request, io);
	platter_request_complete(request, error);
}

void stack_pass(struct platter_request *request, struct platter_lower *lower)
{
	struct passing *passing = (struct passing *)(void *)request->data;

	passing->request = request;
	passing->io = (struct platter_lower_io){
		.op = request->op, .flags = request->flags, .iovcnt = request->iovcnt, .iov = request->iov,
		.offset = request->offset, .length = request->length, .request = request, .done = passed,
	};
	platter_lower_submit(lower, &passing->io);
}

static void larger(uint32_t *mine, uint32_t other)
{
	if (other > *mine)
		*mine = other;
}

/* 0 is no limit. */
static void smaller(uint64_t *mine, uint64_t other)
{
	if (other && (*mine == 0 || other < *mine))
		*mine = other;
}

int stack_geometry(struct platter_geometry *geometry, struct platter_lower *const *lowers, unsigned count)
{
	uint32_t common = COMMON, any = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct platter_geometry *lower = platter_lower_geometry(lowers[i]);

		common &= lower->capabilities;
		any |= lower->capabilities & ANY;
		larger(&geometry->min_block, lower->min_block);
		larger(&geometry->preferred_block, lower->preferred_block);
		larger(&geometry->memory_alignment, lower->memory_alignment);
		smaller(&geometry->max_zeroes, lower->max_zeroes);
		smaller(&geometry->max_trim, lower->max_trim);
	}
	geometry->capabilities = common | any;
	return count ? 0 : -EINVAL;
}

uint32_t stack_segments(struct iovec *part, uint32_t most, const struct iovec *segments, uint32_t count, uint64_t offset,
			uint64_t length, uint64_t *bytes)
{
	uint32_t used = 0;

	*bytes = 0;
	for (uint32_t i = 0; i < count && used < most && *bytes < length; i++) {
		uint64_t piece = segments[i].iov_len;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece -= offset;
		if (piece > length - *bytes)
			piece = length - *bytes;
		part[used++] = (struct iovec){ (char *)segments[i].iov_base + offset, (size_t)piece };
		*bytes += piece;
		offset = 0;
	}
	return used;
}

PLATTER_MODULE("stack", "1.0", "BSD-2-Clause", "The Platter developers", "what drivers that stand on other disks have in common");
