/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/geometry.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/uio.h>

#include <platter/driver.h>

#include "common/checked.h"

#define PREFERRED_BLOCK 4096

static int check_limit(const char *what, uint64_t limit, uint32_t block, struct platter_error *error)
{
	if (limit % block == 0)
		return 0;
	return platter_fail(error, EINVAL, "the driver's %s, %" PRIu64 ", is not a multiple of the block size %u", what, limit,
			    block);
}

int geometry_check_size(uint64_t bytes, uint32_t min_block, struct platter_error *error)
{
	if (bytes == 0)
		return platter_fail(error, EINVAL, "it is empty (0 bytes)");
	if (bytes > INT64_MAX)
		return platter_fail(error, EINVAL, "its size, %" PRIu64 ", is more than 2^63-1 bytes, the most that a disk can have", bytes);
	if (bytes % min_block)
		return platter_fail(error, EINVAL, "its size, %" PRIu64 ", is not a multiple of the block size %u", bytes, min_block);
	return 0;
}

int geometry_check(struct platter_geometry *geometry, struct platter_error *error)
{
	int result;

	if (!geometry->min_block)
		geometry->min_block = 1;
	if (!geometry->preferred_block)
		geometry->preferred_block = geometry->min_block > PREFERRED_BLOCK ? geometry->min_block : PREFERRED_BLOCK;
	if (!geometry->memory_alignment)
		geometry->memory_alignment = 1;
	if (!geometry->max_segments || geometry->max_segments > GEOMETRY_SEGMENTS)
		geometry->max_segments = GEOMETRY_SEGMENTS;
	if (!geometry->queue_depth)
		geometry->queue_depth = GEOMETRY_DEPTH;
	if (!is_power_of_two(geometry->min_block) || geometry->min_block > 65536)
		return platter_fail(error, EINVAL, "the driver's smallest block, %u, is not a power of two up to 65536",
				    geometry->min_block);
	if (!is_power_of_two(geometry->preferred_block) || geometry->preferred_block < 512 ||
	    geometry->preferred_block < geometry->min_block)
		return platter_fail(error, EINVAL, "the driver's preferred block, %u, is not a power of two from 512",
				    geometry->preferred_block);
	if (!is_power_of_two(geometry->memory_alignment) || geometry->memory_alignment > 4096)
		return platter_fail(error, EINVAL, "the driver's memory alignment, %u, is not a power of two up to 4096",
				    geometry->memory_alignment);
	result = geometry_check_size(geometry->bytes, geometry->min_block, error);
	if (result == 0)
		result = check_limit("max_request", geometry->max_request, geometry->min_block, error);
	if (result == 0)
		result = check_limit("max_zeroes", geometry->max_zeroes, geometry->min_block, error);
	if (result == 0)
		result = check_limit("max_trim", geometry->max_trim, geometry->min_block, error);
	return result;
}
