/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file driver: regular files and block devices.
 * A request is one file operation or a short chain of them: file_submit()
 * begins it, finished() looks at what came back and begins the next one, if there is one.
 */
#include "plugins/file/file.h"

#include <errno.h>
#include <fcntl.h>

#include <platter/host.h>

#include "plugins/builtin.h"

/* Zeroes are written in pieces of this size where nothing better works. */
#define ZERO_BUFFER (64u << 10)
#define ZERO_SEGMENTS 16

static _Alignas(4096) unsigned char zeroes[ZERO_BUFFER]; /* never written to */

#define ZEROES_4 { zeroes, ZERO_BUFFER }, { zeroes, ZERO_BUFFER }, { zeroes, ZERO_BUFFER }, { zeroes, ZERO_BUFFER }
static const struct iovec zero_segments[ZERO_SEGMENTS] = { ZEROES_4, ZEROES_4, ZEROES_4, ZEROES_4 };

/* How far a chain has come. */
enum step {
	STEP_ONLY,       /* a single operation */
	STEP_DISCARD,    /* TRIM, which may fail to do anything */
	STEP_PUNCH,      /* zeroing by making a hole */
	STEP_ZERO_RANGE, /* zeroing and keeping the space */
	STEP_WRITE_ZERO, /* writing zeroes, piece by piece */
	STEP_SYNC,       /* FUA */
};

struct file_request {
	struct platter_fd_io io; /* first */
	struct platter_request *request;
	enum step step;
	uint64_t written;        /* zeroes */
	struct iovec tail;       /* the last zeroes */
};

_Static_assert(sizeof(struct file_request) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

static bool unsupported(int64_t result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV;
}

static void issue(struct file_request *state, enum platter_fd_op op, enum step step)
{
	state->step = step;
	state->io.op = (uint16_t)op;
	platter_fd_io(state->request->disk, &state->io);
}

static void issue_fallocate(struct file_request *state, int mode, enum step step)
{
	state->io.mode = mode | FALLOC_FL_KEEP_SIZE;
	issue(state, PLATTER_FD_FALLOCATE, step);
}

/* The next piece of zeroes: whole buffers as long as there is room for one, then the rest. */
static void write_zeroes(struct file_request *state)
{
	uint64_t left = state->request->length - state->written;
	uint32_t whole = left / ZERO_BUFFER < ZERO_SEGMENTS ? (uint32_t)(left / ZERO_BUFFER) : ZERO_SEGMENTS;

	state->tail = (struct iovec){ zeroes, left };
	state->io.iov = whole ? zero_segments : &state->tail;
	state->io.iovcnt = whole ? whole : 1;
	state->io.offset = state->request->offset + state->written;
	state->io.length = whole ? (uint64_t)whole * ZERO_BUFFER : left;
	issue(state, PLATTER_FD_WRITE, STEP_WRITE_ZERO);
}

/* The slow ways to zero, which FAST_ZERO forbids. */
static void zero_slowly(struct file_request *state, const struct file_disk *file)
{
	if (state->request->flags & PLATTER_REQ_FAST_ZERO)
		platter_request_complete(state->request, -ENOTSUP);
	else if (file->block_device)
		issue(state, PLATTER_FD_ZEROOUT, STEP_ONLY);
	else
		write_zeroes(state);
}

static void zero_range(struct file_request *state, const struct file_disk *file)
{
	if (file->block_device || file->no_zero_range)
		zero_slowly(state, file);
	else
		issue_fallocate(state, FALLOC_FL_ZERO_RANGE, STEP_ZERO_RANGE);
}

static void start_zeroes(struct file_request *state, const struct file_disk *file)
{
	if ((state->request->flags & PLATTER_REQ_NO_HOLE) || file->no_punch)
		zero_range(state, file);
	else
		issue_fallocate(state, FALLOC_FL_PUNCH_HOLE, STEP_PUNCH);
}

static void start_trim(struct file_request *state, const struct file_disk *file)
{
	if (file->block_device)
		issue(state, PLATTER_FD_DISCARD, STEP_DISCARD);
	else
		issue_fallocate(state, FALLOC_FL_PUNCH_HOLE, STEP_DISCARD);
}

/*
 * The range is as it should be; FUA wants it durable, too.  By a sync of its
 * own, not RWF_DSYNC: that would report an earlier write-back's failure, once
 * and for all, as if it were this write's, as "no space", for example.
 */
static void settle(struct file_request *state)
{
	if (state->request->flags & PLATTER_REQ_FUA)
		issue(state, PLATTER_FD_SYNC, STEP_SYNC);
	else
		platter_request_complete(state->request, 0);
}

static void finish_only(struct file_request *state, int64_t result)
{
	struct platter_request *request = state->request;

	/* The file has become shorter than the disk: what isn't there cannot be read, and must not look like data. */
	if (request->op == PLATTER_OP_READ && result >= 0 && (uint64_t)result < request->length) {
		platter_request_progress(request, (uint64_t)result);
		result = -EIO;
	}
	if (request->op == PLATTER_OP_READ && result > 0)
		result = 0;
	if (request->op == PLATTER_OP_CACHE)
		result = 0;
	if ((request->op == PLATTER_OP_WRITE || request->op == PLATTER_OP_ZEROES) && result == 0)
		settle(state);
	else
		platter_request_complete(request, (int)result);
}

static void finished(struct platter_fd_io *io, int64_t result)
{
	struct file_request *state = (struct file_request *)io;
	struct file_disk *file = platter_disk_data(state->request->disk);

	switch (state->step) {
	case STEP_DISCARD:
		if (result == 0 || unsupported(result))
			settle(state);
		else
			platter_request_complete(state->request, (int)result);
		return;
	case STEP_PUNCH:
		if (unsupported(result)) {
			file->no_punch = true;
			zero_range(state, file);
			return;
		}
		break;
	case STEP_ZERO_RANGE:
		if (unsupported(result)) {
			file->no_zero_range = true;
			zero_slowly(state, file);
			return;
		}
		break;
	case STEP_WRITE_ZERO:
		state->written += result == 0 ? io->length : 0;
		if (result == 0 && state->written < state->request->length) {
			write_zeroes(state);
			return;
		}
		break;
	case STEP_ONLY:
		finish_only(state, result);
		return;
	case STEP_SYNC:
		/* Whatever the reason: earlier writes may be lost, which only EIO says. */
		platter_request_complete(state->request, result < 0 ? -EIO : 0);
		return;
	}
	if (result == 0)
		settle(state);
	else
		platter_request_complete(state->request, (int)result);
}

static uint16_t io_flags(const struct file_disk *file, const struct platter_request *request)
{
	if (file->direct)
		return PLATTER_FD_DIRECT | (request->flags & PLATTER_REQ_ONCE ? PLATTER_FD_ONCE : 0);
	if (file->local)
		return PLATTER_FD_LOCAL;
	return file->block_device ? 0 : PLATTER_FD_REMOTE;
}

void file_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct file_disk *file = platter_disk_data(disk);
	struct file_request *state = (struct file_request *)(void *)request->data;

	state->request = request;
	state->written = 0;
	state->io.done = finished;
	state->io.fd = file->fd;
	state->io.request = request;
	state->io.flags = io_flags(file, request);
	state->io.iov = request->iov;
	state->io.iovcnt = request->iovcnt;
	state->io.offset = request->offset;
	state->io.length = request->length;
	switch (request->op) {
	case PLATTER_OP_READ:
		state->io.flags |= PLATTER_FD_PROGRESS;
		issue(state, PLATTER_FD_READ, STEP_ONLY);
		break;
	case PLATTER_OP_WRITE:
		state->io.flags |= PLATTER_FD_PROGRESS;
		issue(state, PLATTER_FD_WRITE, STEP_ONLY);
		break;
	case PLATTER_OP_FLUSH:
		issue(state, PLATTER_FD_SYNC, STEP_ONLY);
		break;
	case PLATTER_OP_TRIM:
		start_trim(state, file);
		break;
	case PLATTER_OP_ZEROES:
		start_zeroes(state, file);
		break;
	case PLATTER_OP_EXTENTS:
		issue(state, PLATTER_FD_EXTENTS, STEP_ONLY);
		break;
	default:
		issue(state, PLATTER_FD_WILLNEED, STEP_ONLY);
	}
}

static const struct platter_key file_keys[] = {
	{ "path", PLATTER_KEY_STRING, "the file or block device" },
	{ "direct", PLATTER_KEY_BOOL, "bypass the page cache with O_DIRECT (off)" },
	{ "share", PLATTER_KEY_BOOL, "serve it even though something else uses it (off)" },
	{ "removable", PLATTER_KEY_BOOL, "it can be ejected, and another file loaded (off)" },
	{ "check", PLATTER_KEY_NUMBER, "look for another size or file every so many milliseconds (0: never)" },
	{ .name = NULL },
};

static const struct platter_disk_ops file_ops = {
	.size = sizeof(file_ops),
	.open = file_open,
	.release = file_release,
	.submit = file_submit,
	.revalidate = file_revalidate,
	.resize = file_resize,
	.check_events = file_check_events,
	.ioctl = file_ioctl,
	.commands = file_commands,
};

const struct platter_driver file_driver = {
	.size = sizeof(file_driver),
	.name = "file",
	.description = "file or block device",
	.keys = file_keys,
	.ops = &file_ops,
	.probe = file_probe,
	.remove = file_remove,
};
