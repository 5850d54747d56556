/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods on the marks of disks. */
#include <errno.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/block/mark.h"
#include "server/block/registry.h"
#include "server/control/method.h"
#include "server/control/peer.h"

static int run(struct call *call, const char *what, int (*change)(struct marks *marks, const char *name, struct platter_error *error))
{
	const char *name, *mark;
	struct disk *disk;
	int result = method_params(call, "{s:s, s:s!}", "disk", &name, "name", &mark);

	if (result < 0)
		return result;
	disk = disk_find(name);
	if (!disk)
		return platter_fail(&call->error, ENOENT, "there is no disk named \"%s\"", name);
	if (disk->whole)
		result = platter_fail(&call->error, EINVAL, "%s is a partition: its changes are marked on %s", name, disk->whole->name);
	else
		result = change(&disk->marks, mark, &call->error);
	if (result == 0)
		log_info("%s: mark %s %s (user %u)", disk->name, mark, what, call->peer->uid);
	disk_put(disk);
	return result;
}

static int disk_mark_method(struct call *call)
{
	return run(call, "set", marks_set);
}

static int disk_unmark_method(struct call *call)
{
	return run(call, "taken away", marks_unset);
}

static void add_marks(json_t *list, struct disk *disk)
{
	struct mark *marks[MARK_MOST];
	unsigned count = marks_use(&disk->marks, marks);

	for (unsigned i = 0; i < count; i++) {
		struct mark_status status = mark_status(marks[i]);

		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:b}", "disk", disk->name, "name", mark_name(marks[i]),
						      "since", (json_int_t)status.since, "dirty", (json_int_t)status.dirty,
						      "all", (int)status.all));
		mark_unuse(marks[i]);
	}
}

static int marks_method(struct call *call)
{
	json_t *list = json_array();
	struct list_head *node;

	registry_lock();
	list_for_each(node, disk_list())
		add_marks(list, container_of(node, struct disk, link));
	registry_unlock();
	call->result = json_pack("{s:o}", "marks", list);
	return 0;
}

const struct method mark_methods[] = {
	{ .name = "marks", .plain = true, .run = marks_method },
	{ .name = "disk.mark", .changes = true, .run = disk_mark_method },
	{ .name = "disk.unmark", .changes = true, .run = disk_unmark_method },
	{ .name = NULL },
};
