/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/nbd/upstream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATION "base:allocation"

#define MOST_REQUEST (UINT64_C(4) << 20)
/* Of those without data; the protocol's lengths have 32 bits. */
#define MOST_RANGE (UINT64_C(1) << 30)
/* What a server takes that doesn't say. */
#define USUAL_REQUEST (UINT64_C(32) << 20)

void upstream_error(char reason[UPSTREAM_REASON])
{
	const char *text = nbd_get_error();
	/* It begins with the function's name. */
	const char *behind = text ? strstr(text, ": ") : NULL;

	snprintf(reason, UPSTREAM_REASON, "%s", behind ? behind + 2 : text ? text : "no reason is known");
}

struct nbd_handle *upstream_dial(const char *uri, char reason[UPSTREAM_REASON])
{
	struct nbd_handle *handle = nbd_create();

	/* A disk may have grown since another connection was made: the server knows where it ends. */
	if (handle && nbd_set_strict_mode(handle, LIBNBD_STRICT_MASK & ~LIBNBD_STRICT_BOUNDS) == 0 &&
	    nbd_set_uri_allow_local_file(handle, true) == 0 && nbd_set_full_info(handle, true) == 0 &&
	    nbd_add_meta_context(handle, ALLOCATION) == 0 && nbd_aio_connect_uri(handle, uri) == 0)
		return handle;
	upstream_error(reason);
	nbd_close(handle);
	return NULL;
}

/* The last word of the description, if it is "uuid=" and looks like one. */
static void read_uuid(struct nbd_handle *handle, char uuid[UPSTREAM_UUID + 1])
{
	char *text = nbd_get_export_description(handle);
	const char *word = text ? strrchr(text, ' ') : NULL;

	word = word ? word + 1 : text;
	if (word && strncmp(word, "uuid=", 5) == 0 && strlen(word + 5) == UPSTREAM_UUID &&
	    strspn(word + 5, "0123456789abcdefABCDEF-") == UPSTREAM_UUID)
		memcpy(uuid, word + 5, UPSTREAM_UUID + 1);
	free(text);
}

static uint32_t read_capabilities(struct nbd_handle *handle)
{
	/* Either there is one connection only, or the server keeps several together. */
	uint32_t capabilities = PLATTER_DISK_COHERENT;

	capabilities |= nbd_is_read_only(handle) > 0 ? PLATTER_DISK_READ_ONLY : 0;
	capabilities |= nbd_is_rotational(handle) > 0 ? PLATTER_DISK_ROTATIONAL : 0;
	capabilities |= nbd_can_flush(handle) > 0 ? PLATTER_DISK_FLUSH : 0;
	capabilities |= nbd_can_trim(handle) > 0 ? PLATTER_DISK_TRIM : 0;
	capabilities |= nbd_can_zero(handle) > 0 ? PLATTER_DISK_ZEROES : 0;
	capabilities |= nbd_can_cache(handle) > 0 ? PLATTER_DISK_CACHE : 0;
	capabilities |= nbd_can_meta_context(handle, ALLOCATION) > 0 ? PLATTER_DISK_EXTENTS : 0;
	return capabilities;
}

int upstream_read(struct nbd_handle *handle, struct upstream *ret, char reason[UPSTREAM_REASON])
{
	int64_t bytes = nbd_get_size(handle);
	int64_t minimum = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t preferred = nbd_get_block_size(handle, LIBNBD_SIZE_PREFERRED);
	int64_t maximum = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);

	*ret = (struct upstream){ .uuid = "" };
	if (bytes < 0 || minimum < 0 || preferred < 0 || maximum < 0) {
		upstream_error(reason);
		return -EINVAL;
	}
	ret->bytes = (uint64_t)bytes;
	ret->min_block = minimum ? (uint32_t)minimum : 1;
	/* A hint: the host's own will do. */
	if (preferred >= 512 && preferred >= minimum && (preferred & (preferred - 1)) == 0)
		ret->preferred_block = (uint32_t)preferred;
	ret->most = maximum && (uint64_t)maximum < USUAL_REQUEST ? (uint64_t)maximum : USUAL_REQUEST;
	ret->most -= ret->most % ret->min_block;
	ret->max_request = ret->most < MOST_REQUEST ? ret->most : MOST_REQUEST;
	if (!ret->most) {
		snprintf(reason, UPSTREAM_REASON, "the server's largest request, %" PRIi64 ", is smaller than its smallest, %" PRIi64,
			 maximum, minimum);
		return -EINVAL;
	}
	ret->capabilities = read_capabilities(handle);
	ret->fua = nbd_can_fua(handle) > 0;
	ret->fast_zero = nbd_can_fast_zero(handle) > 0;
	ret->several = nbd_can_multi_conn(handle) > 0;
	read_uuid(handle, ret->uuid);
	return 0;
}

bool upstream_goes_on(const struct upstream *was, const struct upstream *now, char reason[UPSTREAM_REASON])
{
	uint32_t lost = was->capabilities & ~now->capabilities & ~(PLATTER_DISK_READ_ONLY | PLATTER_DISK_ROTATIONAL);
	bool smaller_requests = now->min_block > was->min_block || now->most < was->most;

	if (*was->uuid && *now->uuid && strcmp(was->uuid, now->uuid) != 0)
		snprintf(reason, UPSTREAM_REASON, "it has another disk now: uuid=%s, which was %s", now->uuid, was->uuid);
	else if (now->bytes < was->bytes)
		snprintf(reason, UPSTREAM_REASON, "its disk has only %" PRIu64 " bytes now, which were %" PRIu64, now->bytes, was->bytes);
	else if (now->capabilities & ~was->capabilities & PLATTER_DISK_READ_ONLY)
		snprintf(reason, UPSTREAM_REASON, "its disk is read-only now");
	else if (lost || (was->fua && !now->fua) || (was->fast_zero && !now->fast_zero) || smaller_requests)
		snprintf(reason, UPSTREAM_REASON, "it can't do any more what it could (flags 0x%" PRIx32 ", blocks of %" PRIu32
			 " to %" PRIu64 " bytes)", lost, now->min_block, now->most);
	else
		return true;
	return false;
}

void upstream_geometry(const struct upstream *upstream, struct platter_geometry *geometry)
{
	geometry->bytes = upstream->bytes;
	geometry->capabilities = upstream->capabilities;
	geometry->min_block = upstream->min_block;
	geometry->preferred_block = upstream->preferred_block;
	geometry->max_request = upstream->max_request;
	geometry->max_zeroes = geometry->max_trim = MOST_RANGE;
}
