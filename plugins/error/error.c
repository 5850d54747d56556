/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands on a disk and has some of its requests fail, as the parameters say. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <platter/stack.h>

PLATTER_IMPORT(stack_probe);
PLATTER_IMPORT(stack_remove);
PLATTER_IMPORT(stack_open);
PLATTER_IMPORT(stack_release);
PLATTER_IMPORT(stack_pass);

static int code = EIO;
PLATTER_PARAM(code, int, 0644, "the errno that a request fails with");
static unsigned int per_million = 0;
PLATTER_PARAM(per_million, uint, 0644, "how many of a million requests fail");
static unsigned long seed = 1;
PLATTER_PARAM(seed, ulong, 0644, "which of them: with another one others, with the same one the same again");
static unsigned long first = 0;
PLATTER_PARAM(first, ulong, 0644, "of the requests that touch the bytes from here...");
static unsigned long last = ULONG_MAX;
PLATTER_PARAM(last, ulong, 0644, "...to here");
static const char *ops = "rwftzce";
PLATTER_PARAM(ops, charp, 0644, "and of these: read, write, flush, trim, zeroes, cache, extents, by their first letters");

static int error_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	(void)read_only;
	return stack_probe(disk, args, sizeof(struct stack_disk), error);
}

static void error_remove(struct platter_disk *disk)
{
	stack_remove(disk);
}

static int error_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	return stack_open(disk, geometry, error);
}

static int error_release(struct platter_disk *disk, struct platter_error *error)
{
	(void)error;
	return stack_release(disk);
}

/* Which letter of `ops` stands for it. */
static char letter_of(const struct platter_request *request)
{
	static const char letters[] = "rwftzce";

	return request->op < sizeof(letters) - 1 ? letters[request->op] : '?';
}

/* The next number of those that belong to the seed; several reactors may ask. */
static uint64_t draw(void)
{
	static unsigned long begun;
	static uint64_t drawn;
	unsigned long now = seed;
	uint64_t x;

	if (__atomic_exchange_n(&begun, now, __ATOMIC_RELAXED) != now)
		__atomic_store_n(&drawn, 0, __ATOMIC_RELAXED);
	/* splitmix64, whose state is a counter */
	x = now + (__atomic_fetch_add(&drawn, 1, __ATOMIC_RELAXED) + 1) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static bool is_chosen(const struct platter_request *request)
{
	if (per_million == 0 || !strchr(ops, letter_of(request)))
		return false;
	/* A flush has no range: it touches all. */
	if (request->op != PLATTER_OP_FLUSH && (request->offset > last || request->offset + request->length <= first))
		return false;
	return draw() % 1000000 < per_million;
}

static void error_submit(struct platter_disk *disk, struct platter_request *request)
{
	const struct stack_disk *stack = platter_disk_data(disk);

	if (is_chosen(request))
		platter_request_complete(request, code < 0 ? code : -code);
	else
		stack_pass(request, stack->lower);
}

static const struct platter_key error_keys[] = {
	{ "disk", PLATTER_KEY_STRING, "the disk that it stands on" },
	{ .name = NULL },
};

static const struct platter_disk_ops error_ops = {
	.size = sizeof(error_ops),
	.open = error_open,
	.release = error_release,
	.submit = error_submit,
};

static const struct platter_driver error_driver = {
	.size = sizeof(error_driver),
	.name = "error",
	.description = "another disk, with failures",
	.keys = error_keys,
	.ops = &error_ops,
	.probe = error_probe,
	.remove = error_remove,
};

static int error_init(void)
{
	return platter_register_driver(&error_driver);
}

static void error_exit(void)
{
	platter_unregister_driver(&error_driver);
}

PLATTER_MODULE("error", "1.0", "BSD-2-Clause", "The Platter developers", "stands on a disk and has requests fail");
PLATTER_INIT(error_init);
PLATTER_EXIT(error_exit);
PLATTER_ALIAS("driver:error");
