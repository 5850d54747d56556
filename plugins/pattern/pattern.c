/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A read-only disk of any size whose every 8 bytes hold their own offset, big
 * endian: whoever reads it knows whether the right data came, at sizes that nothing stores.
 */
#include <errno.h>
#include <stdlib.h>

#include <platter/module.h>

#define WORD 8
/* What is made inside one submit. */
#define MOST_AT_ONCE (UINT64_C(1) << 20)

static int pattern_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	uint64_t bytes = platter_args_size(args, "size", UINT64_C(1) << 60);
	uint64_t *data;

	(void)read_only;
	if (bytes == 0 || bytes > INT64_MAX)
		return platter_fail(error, EINVAL, "the size must be above 0 and below 8E");
	data = malloc(sizeof(*data));
	if (!data)
		return platter_fail(error, ENOMEM, "no memory");
	*data = bytes;
	platter_disk_set_data(disk, data);
	platter_disk_set_capacity(disk, bytes);
	return 0;
}

static void pattern_remove(struct platter_disk *disk)
{
	free(platter_disk_data(disk));
}

static int pattern_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	(void)error;
	geometry->bytes = *(const uint64_t *)platter_disk_data(disk);
	geometry->max_request = MOST_AT_ONCE;
	geometry->capabilities = PLATTER_DISK_READ_ONLY | PLATTER_DISK_COHERENT | PLATTER_DISK_CACHE;
	return 0;
}

static unsigned char byte_at(uint64_t offset)
{
	uint64_t word = offset / WORD * WORD;

	return (unsigned char)(word >> 8 * (WORD - 1 - offset % WORD));
}

static void pattern_submit(struct platter_disk *disk, struct platter_request *request)
{
	uint64_t offset = request->offset;

	(void)disk;
	for (uint32_t i = 0; request->op == PLATTER_OP_READ && i < request->iovcnt; i++) {
		unsigned char *to = request->iov[i].iov_base;

		for (size_t at = 0; at < request->iov[i].iov_len; at++)
			to[at] = byte_at(offset++);
	}
	platter_request_complete(request, 0);
}

static const struct platter_key pattern_keys[] = {
	{ "size", PLATTER_KEY_SIZE, "of the disk (1E)" },
	{ .name = NULL },
};

static const struct platter_disk_ops pattern_ops = {
	.size = sizeof(pattern_ops),
	.open = pattern_open,
	.submit = pattern_submit,
};

static const struct platter_driver pattern_driver = {
	.size = sizeof(pattern_driver),
	.name = "pattern",
	.description = "every 8 bytes hold their offset",
	.keys = pattern_keys,
	.ops = &pattern_ops,
	.probe = pattern_probe,
	.remove = pattern_remove,
};

static int pattern_init(void)
{
	return platter_register_driver(&pattern_driver);
}

static void pattern_exit(void)
{
	platter_unregister_driver(&pattern_driver);
}

PLATTER_MODULE("pattern", "1.0", "BSD-2-Clause", "The Platter developers", "a disk whose every 8 bytes hold their offset");
PLATTER_INIT(pattern_init);
PLATTER_EXIT(pattern_exit);
PLATTER_ALIAS("driver:pattern");
