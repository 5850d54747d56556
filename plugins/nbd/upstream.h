/* SPDX-License-Identifier: BSD-2-Clause */
/* The server that has the disk: how it is addressed, and what it says of its export. */
#ifndef PLUGINS_NBD_UPSTREAM_H
#define PLUGINS_NBD_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>
#include <platter/disk.h>

#define UPSTREAM_REASON 256
#define UPSTREAM_UUID 36

struct upstream {
	uint64_t bytes;
	uint32_t capabilities;   /* PLATTER_DISK_* */
	uint32_t min_block, preferred_block;
	uint64_t most;           /* bytes of one request, to the server... */
	uint64_t max_request;    /* ...and as the host splits them: what has several segments is copied into one piece */
	bool fua, fast_zero;     /* it takes these by itself */
	bool several;            /* connections */
	char uuid[UPSTREAM_UUID + 1]; /* its disk's identity, as platterd tells it; "": it tells none */
};

/* What libnbd's last call on this thread failed for. */
void upstream_error(char reason[UPSTREAM_REASON]);

/* A handle on its way to URI; NULL, with the reason. */
struct nbd_handle *upstream_dial(const char *uri, char reason[UPSTREAM_REASON]);

/* What the server of HANDLE, which is connected, says.  -EINVAL, with the reason, when that can't be a disk here. */
int upstream_read(struct nbd_handle *handle, struct upstream *ret, char reason[UPSTREAM_REASON]);

/* Whether NOW can go on with what WAS began: it is as large, can as much, and isn't known to be another disk.  Or the reason. */
bool upstream_goes_on(const struct upstream *was, const struct upstream *now, char reason[UPSTREAM_REASON]);

/* As the host wants it. */
void upstream_geometry(const struct upstream *upstream, struct platter_geometry *geometry);

#endif
