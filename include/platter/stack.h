/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What drivers that stand on other disks have in common.  Not the host but the
 * module stack has these functions: import each that is called, as in
 * PLATTER_IMPORT(stack_pass), and modprobe loads that module first.
 */
#ifndef PLATTER_STACK_H
#define PLATTER_STACK_H

#include <platter/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The data of a disk that stands on one other; a driver's own may follow it in memory.  It is part of each version below. */
struct stack_disk {
	char *name;                  /* of the lower disk */
	struct platter_lower *lower; /* while it is open */
};

/*
 * The operations of such a disk, to be called from the driver's own.  stack_probe makes SIZE bytes of data, of which
 * the first are a struct stack_disk, zero the rest, and takes the name from the key "disk".
 */
#define stack_probe_VERSION "1"
typedef int stack_probe_FN(struct platter_disk *disk, const struct platter_args *args, size_t size, struct platter_error *error);
#define stack_remove_VERSION "1"
typedef void stack_remove_FN(struct platter_disk *disk);
#define stack_open_VERSION "1"
typedef int stack_open_FN(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error);
#define stack_release_VERSION "1"
typedef int stack_release_FN(struct platter_disk *disk);

/*
 * Passes REQUEST on as it is, and completes it; its data is overwritten.  Nothing is copied: the lower disk gets the
 * request's segments, or lends its own memory.
 */
#define stack_pass_VERSION "1"
typedef void stack_pass_FN(struct platter_request *request, struct platter_lower *lower);

/* Answers REQUEST, or the next part of it, with what a lower disk lent for IO, a READ without segments; in its `done`. */
#define stack_lend_VERSION "1"
typedef int stack_lend_FN(struct platter_request *request, const struct platter_lower_io *io);

/*
 * Makes GEOMETRY that of a disk that stands on COUNT LOWERs and passes requests on: the larger of their blocks and
 * alignments, the smaller of their limits, and what all of them can.  Its size is the caller's.  -EINVAL for none.
 * With PLATTER_DISK_LENDS, when all of them lend, READs come without segments and are answered by stack_lend();
 * a caller that wants to see the data takes that away.
 */
#define stack_geometry_VERSION "1"
typedef int stack_geometry_FN(struct platter_geometry *geometry, struct platter_lower *const *lowers, unsigned count);

/*
 * Puts the parts of COUNT SEGMENTS that are up to LENGTH bytes from OFFSET on into PART, which has room for MOST.
 * How many; *BYTES: what they hold.
 */
#define stack_segments_VERSION "1"
typedef uint32_t stack_segments_FN(struct iovec *part, uint32_t most, const struct iovec *segments, uint32_t count,
				   uint64_t offset, uint64_t length, uint64_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
