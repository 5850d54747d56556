/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacking: a disk that stands on others.  Its driver opens them in `open`,
 * by name, hands them requests, and closes them in `release`.
 *
 * Whoever opens a lower disk has it for itself: it must not be in use, and
 * nobody else can open it meanwhile.  It moves to the reactor that serves the
 * disk on top, so that nothing of this needs a lock.
 */
#ifndef PLATTER_LOWER_H
#define PLATTER_LOWER_H

#include <platter/disk.h>

#pragma GCC visibility push(default)

/* An open lower disk; the host's. */
struct platter_lower;

/*
 * Opens the disk NAME for DISK, which is being opened; waits for it.  -ENOENT;
 * -EBUSY: somebody uses it; -ELOOP: it stands on DISK itself; what its driver's open returned.
 */
int platter_lower_open(struct platter_disk *disk, const char *name, struct platter_lower **ret,
		       struct platter_error *error);

/* In `release`, when none of its requests is running, or in a failing `open`.  NULL is allowed. */
void platter_lower_close(struct platter_lower *lower);

/* What it is like; as long as it is open.  Its size may be larger or smaller than when it was opened: see platter_lower_bytes(). */
const struct platter_geometry *platter_lower_geometry(const struct platter_lower *lower);
uint64_t platter_lower_bytes(const struct platter_lower *lower);

/*
 * One request to a lower disk, usually in a request's data.  The caller fills it in, within the lower
 * disk's size and in multiples of its min_block, and leaves it alone until DONE; what exceeds the lower disk's
 * other limits is split.
 */
struct platter_lower_io {
	uint16_t op;        /* enum platter_op */
	uint16_t flags;     /* PLATTER_REQ_* */
	/*
	 * Data of READ and WRITE: the caller's segments, or those of its own request.  For a READ of a lower
	 * disk that lends they may be left out: then DONE finds here what it lent, to lend it on; the array is
	 * valid in DONE, the memory until the lower disk is closed, and NULL stands for zeroes.  With segments it is copied there.
	 */
	uint32_t iovcnt;
	struct iovec *iov;
	uint64_t offset;    /* bytes */
	uint64_t length;    /* bytes */
	struct platter_request *request; /* EXTENTS: the caller's own, which is told what the lower disk tells */
	/* On the same reactor; possibly inside platter_lower_submit().  ERROR: 0 or -errno. */
	void (*done)(struct platter_lower_io *io, int error);
	void *host[2];      /* the host's own */
};

/* Hands IO to LOWER.  In submit or a `done`, on the reactor; elsewhere it fails with -EINVAL. */
void platter_lower_submit(struct platter_lower *lower, struct platter_lower_io *io);

#pragma GCC visibility pop

#endif
