/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/volatile/sectors.h"

#include <string.h>

#include "plugins/volatile/store.h"

/* Sectors that are copied together. */
#define BATCH 64

/* Copies LENGTH bytes between BUFFER and what begins OFFSET bytes into the request's segments. */
static void copy(const struct platter_request *request, uint64_t offset, uint8_t *buffer, uint64_t length, bool to_request)
{
	for (uint32_t i = 0; i < request->iovcnt && length; i++) {
		uint64_t piece = request->iov[i].iov_len;
		uint8_t *at = request->iov[i].iov_base;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece = piece - offset < length ? piece - offset : length;
		if (to_request)
			memcpy(at + offset, buffer, piece);
		else
			memcpy(buffer, at + offset, piece);
		buffer += piece;
		length -= piece;
		offset = 0;
	}
}

/* COUNT sectors of a READ or WRITE, from its FIRST on; at most BATCH. */
static int transfer(struct cache *cache, struct platter_request *request, uint64_t first, uint64_t count)
{
	uint8_t buffer[BATCH * STORE_SECTOR];
	uint64_t sector = request->offset / STORE_SECTOR + first;
	int result;

	if (request->op == PLATTER_OP_WRITE) {
		copy(request, first * STORE_SECTOR, buffer, count * STORE_SECTOR, false);
		return cache_write(cache, sector, count, buffer);
	}
	result = cache_read(cache, sector, count, buffer);
	if (result == 0)
		copy(request, first * STORE_SECTOR, buffer, count * STORE_SECTOR, true);
	return result;
}

int sectors_do(struct cache *cache, struct platter_request *request, uint64_t first, uint64_t count, bool honest)
{
	uint64_t sector = request->offset / STORE_SECTOR + first;
	int result = 0;

	if (request->op == PLATTER_OP_TRIM || request->op == PLATTER_OP_ZEROES)
		result = cache_zero(cache, sector, count, request->flags & PLATTER_REQ_NO_HOLE);
	else
		for (uint64_t done = 0; done < count && result == 0; done += BATCH)
			result = transfer(cache, request, first + done, count - done < BATCH ? count - done : BATCH);
	if (result == 0 && honest && (request->flags & PLATTER_REQ_FUA))
		result = cache_write_through(cache, sector, count);
	return result;
}
