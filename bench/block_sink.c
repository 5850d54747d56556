/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/block_sink.h"

#include <errno.h>

static int sink_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	(void)read_only;
	if (platter_args_size(args, "size", 0) == 0)
		return platter_fail(error, EINVAL, "it needs a size");
	platter_disk_set_capacity(disk, platter_args_size(args, "size", 0));
	/* There is nothing to keep but the size. */
	platter_disk_set_data(disk, (void *)(uintptr_t)platter_args_size(args, "size", 0));
	return 0;
}

static void sink_remove(struct platter_disk *disk)
{
	(void)disk;
}

static int sink_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	(void)error;
	geometry->bytes = (uintptr_t)platter_disk_data(disk);
	return 0;
}

static void sink_submit(struct platter_disk *disk, struct platter_request *request)
{
	(void)disk;
	platter_request_complete(request, 0);
}

static const struct platter_key sink_keys[] = {
	{ "size", PLATTER_KEY_SIZE, "of the disk" },
	{ .name = NULL },
};

static const struct platter_disk_ops sink_ops = {
	.size = sizeof(sink_ops),
	.open = sink_open,
	.submit = sink_submit,
};

const struct platter_driver sink_driver = {
	.size = sizeof(sink_driver),
	.name = "sink",
	.description = "takes everything, does nothing",
	.keys = sink_keys,
	.ops = &sink_ops,
	.probe = sink_probe,
	.remove = sink_remove,
};
