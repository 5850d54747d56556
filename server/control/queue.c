/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods on the queues of disks. */
#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/block/disk.h"
#include "server/control/method.h"
#include "server/control/peer.h"

/* The disk whose queue NAME's requests go through, a reference; -ENOENT, with the reason. */
static int find_queue(struct call *call, const char *name, struct disk **ret)
{
	struct disk *disk = disk_find(name);

	if (!disk)
		return platter_fail(&call->error, ENOENT, "there is no disk named \"%s\"", name);
	*ret = disk_get(disk_whole(disk));
	disk_put(disk);
	return 0;
}

static json_t *attribute(struct disk *disk, unsigned index)
{
	char text[128], *end;
	long long number;

	limits_show(&disk->limits, index, text, sizeof(text));
	number = strtoll(text, &end, 10);
	return *end ? json_string(text) : json_integer(number);
}

static json_t *attributes(struct disk *disk)
{
	json_t *list = json_object();

	for (unsigned i = 0; limits_name(i); i++)
		json_object_set_new(list, limits_name(i), attribute(disk, i));
	return list;
}

static int disk_queue_method(struct call *call)
{
	struct disk *disk;
	const char *name;
	int result = method_params(call, "{s:s!}", "disk", &name);

	if (result == 0)
		result = find_queue(call, name, &disk);
	if (result < 0)
		return result;
	call->result = json_pack("{s:s, s:o}", "disk", disk->name, "queue", attributes(disk));
	disk_put(disk);
	return 0;
}

static int disk_queue_set_method(struct call *call)
{
	const char *name, *attribute_name, *value;
	struct disk *disk;
	int result = method_params(call, "{s:s, s:s, s:s!}", "disk", &name, "name", &attribute_name, "value", &value);

	if (result == 0)
		result = find_queue(call, name, &disk);
	if (result < 0)
		return result;
	result = limits_set(&disk->limits, attribute_name, value, &call->error);
	if (result == 0)
		log_info("%s: queue: %s=%s (user %u)", disk->name, attribute_name, value, call->peer->uid);
	disk_put(disk);
	return result;
}

static int disk_clear_error_method(struct call *call)
{
	struct disk *disk;
	const char *name;
	bool cleared;
	int result = method_params(call, "{s:s!}", "disk", &name);

	if (result == 0)
		result = find_queue(call, name, &disk);
	if (result < 0)
		return result;
	cleared = disk_clear_failure(disk);
	if (cleared)
		log_notice("%s: its error was cleared (user %u)", disk->name, call->peer->uid);
	call->result = json_pack("{s:b}", "cleared", (int)cleared);
	disk_put(disk);
	return 0;
}

const struct method queue_methods[] = {
	{ .name = "disk.queue", .run = disk_queue_method },
	{ .name = "disk.queue.set", .changes = true, .run = disk_queue_set_method },
	{ .name = "disk.clear_error", .changes = true, .run = disk_clear_error_method },
	{ .name = NULL },
};
