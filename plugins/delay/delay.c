/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands on a disk and makes it slow: each request waits before it is passed on. */
#include <platter/stack.h>

PLATTER_IMPORT(stack_probe);
PLATTER_IMPORT(stack_remove);
PLATTER_IMPORT(stack_open);
PLATTER_IMPORT(stack_release);
PLATTER_IMPORT(stack_pass);

static unsigned int read_us = 1000;
PLATTER_PARAM(read_us, uint, 0644, "microseconds that a read waits");
static unsigned int write_us = 1000;
PLATTER_PARAM(write_us, uint, 0644, "microseconds that everything else waits");
static unsigned int flush_us = 1000;
PLATTER_PARAM(flush_us, uint, 0644, "microseconds that a FLUSH waits");

/* In the request's data, until it is passed on. */
struct waiting {
	struct platter_timer timer;
	struct platter_request *request;
};

_Static_assert(sizeof(struct waiting) <= PLATTER_REQUEST_DATA_SIZE, "too large for a request's data");

static int delay_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
{
	(void)read_only;
	return stack_probe(disk, args, sizeof(struct stack_disk), error);
}

static void delay_remove(struct platter_disk *disk)
{
	stack_remove(disk);
}

static int delay_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
	return stack_open(disk, geometry, error);
}

static int delay_release(struct platter_disk *disk, struct platter_error *error)
{
	(void)error;
	return stack_release(disk);
}

static void pass(struct platter_request *request)
{
	const struct stack_disk *stack = platter_disk_data(request->disk);

	stack_pass(request, stack->lower);
}

static void rang(struct platter_timer *timer)
{
	pass(((struct waiting *)(void *)timer)->request);
}

static unsigned int wait_of(const struct platter_request *request)
{
	switch (request->op) {
	case PLATTER_OP_READ: return read_us;
	case PLATTER_OP_FLUSH: return flush_us;
	default: return write_us;
	}
}

static void delay_submit(struct platter_disk *disk, struct platter_request *request)
{
	struct waiting *waiting = (struct waiting *)(void *)request->data;
	unsigned int wait_us = wait_of(request);

	if (wait_us == 0) {
		pass(request);
		return;
	}
	waiting->request = request;
	waiting->timer.done = rang;
	platter_timer_start(disk, &waiting->timer, wait_us * UINT64_C(1000));
}

static const struct platter_key delay_keys[] = {
	{ "disk", PLATTER_KEY_STRING, "the disk that it stands on" },
	{ .name = NULL },
};

static const struct platter_disk_ops delay_ops = {
	.size = sizeof(delay_ops),
	.open = delay_open,
	.release = delay_release,
	.submit = delay_submit,
};

static const struct platter_driver delay_driver = {
	.size = sizeof(delay_driver),
	.name = "delay",
	.description = "another disk, made slow",
	.keys = delay_keys,
	.ops = &delay_ops,
	.probe = delay_probe,
	.remove = delay_remove,
};

static int delay_init(void)
{
	return platter_register_driver(&delay_driver);
}

static void delay_exit(void)
{
	platter_unregister_driver(&delay_driver);
}

PLATTER_MODULE("delay", "1.0", "BSD-2-Clause", "The Platter developers", "stands on a disk and makes it slow");
PLATTER_INIT(delay_init);
PLATTER_EXIT(delay_exit);
PLATTER_ALIAS("driver:delay");
