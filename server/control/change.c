/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods that change the running server, for root and the server's own user. */
#include <errno.h>
#include <stdlib.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/admin.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/media.h"
#include "server/block/registry.h"
#include "server/control/event.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/reload.h"
#include "server/remarks.h"

#define IOCTL_MOST_ARGUMENTS 32

static int export_add_method(struct call *call)
{
	struct export *export = NULL;
	const char *spec;
	int result = method_params(call, "{s:s!}", "spec", &spec);

	if (result == 0)
		result = admin_add(spec, ROSTER_HAND, &export, &call->error);
	if (result < 0)
		return result;
	call->result = json_pack("{s:s?}", "name", export ? export->name : NULL);
	if (export) {
		log_message_about(&(struct log_subject){ .export = export->name }, LOG_LEVEL_NOTICE, "%s: added (user %u)",
				  export->name, call->peer->uid);
		event_tell("export-added", export->name);
	}
	export_put(export);
	return 0;
}

static int export_remove_method(struct call *call)
{
	struct patience patience;
	const char *name;
	json_int_t drain = 0;
	int result = method_params(call, "{s:s, s?I!}", "name", &name, "drain", &drain);

	if (result == 0)
		result = method_patience(call, drain, &patience);
	if (result == 0)
		result = admin_remove(name, &patience, false, &call->error);
	if (result < 0)
		return result;
	log_message_about(&(struct log_subject){ .export = name }, LOG_LEVEL_NOTICE, "%s: removed (user %u)", name, call->peer->uid);
	event_tell("export-removed", name);
	return 0;
}

static int find_disk(struct call *call, const char *name, struct disk **ret)
{
	*ret = disk_find(name);
	if (*ret)
		return 0;
	(void)platter_fail(&call->error, ENOENT, "there is no disk named \"%s\"", name);
	return -ENOENT;
}

static json_t *size_result(const struct disk *disk)
{
	return json_pack("{s:I}", "size", (json_int_t)disk_capacity(disk));
}

static int disk_resize_method(struct call *call)
{
	struct disk *disk = NULL;
	const char *name;
	json_int_t bytes;
	uint64_t before;
	int result = method_params(call, "{s:s, s:I!}", "disk", &name, "size", &bytes);

	if (result == 0 && bytes <= 0)
		return platter_fail(&call->error, EINVAL, "params: size: must be above 0");
	if (result == 0)
		result = find_disk(call, name, &disk);
	if (!disk)
		return result;
	before = disk_capacity(disk);
	result = media_resize(disk, (uint64_t)bytes, &call->error);
	if (disk_capacity(disk) != before)
		event_tell("resized", disk->name);
	if (result == 0)
		call->result = size_result(disk);
	disk_put(disk);
	return result;
}

/* Has the driver look whether the medium or its size has changed. */
static int disk_check_method(struct call *call)
{
	struct disk *disk = NULL;
	const char *name;
	unsigned events;
	bool resized = false;
	int result = method_params(call, "{s:s!}", "disk", &name);

	if (result == 0)
		result = find_disk(call, name, &disk);
	if (!disk)
		return result;
	events = media_check_events(disk);
	result = media_revalidate(disk, &resized, &call->error);
	if (resized)
		events |= PLATTER_EVENT_RESIZED;
	event_media(disk, events);
	if (result == 0 || result == -EOPNOTSUPP) {
		call->result = size_result(disk);
		json_object_set_new(call->result, "resized", json_boolean(events & PLATTER_EVENT_RESIZED));
		json_object_set_new(call->result, "media_changed", json_boolean(events & PLATTER_EVENT_MEDIA_CHANGE));
		result = 0;
	}
	disk_put(disk);
	return result;
}

/* Has the driver run COMMAND with the strings of ARGUMENTS. */
static int run_ioctl(struct call *call, struct disk *disk, const char *command, json_t *arguments)
{
	const char *argv[IOCTL_MOST_ARGUMENTS];
	size_t argc = json_array_size(arguments);
	struct platter_reply reply = { .text = NULL };
	int result;

	if (argc > IOCTL_MOST_ARGUMENTS)
		return platter_fail(&call->error, E2BIG, "params: args: more than %d", IOCTL_MOST_ARGUMENTS);
	for (size_t i = 0; i < argc; i++) {
		argv[i] = json_string_value(json_array_get(arguments, i));
		if (!argv[i])
			return platter_fail(&call->error, EINVAL, "params: args: not all are strings");
	}
	result = media_ioctl(disk, command, (unsigned)argc, argv, &reply, &call->error);
	if (result == 0) {
		log_info("%s: %s (user %u)", disk->name, command, call->peer->uid);
		call->result = json_pack("{s:o}", "text", json_text(reply.text ? reply.text : ""));
	}
	free(reply.text);
	return result;
}

static int disk_ioctl_method(struct call *call)
{
	json_t *arguments = NULL;
	struct disk *disk = NULL;
	const char *name, *command;
	int result = method_params(call, "{s:s, s:s, s?o!}", "disk", &name, "command", &command, "args", &arguments);

	if (result == 0 && arguments && !json_is_array(arguments))
		return platter_fail(&call->error, EINVAL, "params: args: not an array");
	if (result == 0)
		result = find_disk(call, name, &disk);
	if (result == 0)
		result = run_ioctl(call, disk, command, arguments);
	disk_put(disk);
	return result;
}

static int tls_reload_method(struct call *call)
{
	int result = method_params(call, "{!}");

	if (result == 0)
		result = reload_tls(&call->error);
	if (result == 0)
		log_info("TLS: reloaded (user %u)", call->peer->uid);
	return result;
}

/* What has become of the configuration's exports and listeners, by kind. */
static json_t *remarks_result(const struct list_head *remarks)
{
	json_t *result = json_object();
	struct list_head *node;

	for (enum remark_kind kind = REMARK_ADDED; kind <= REMARK_FAILED; kind++)
		json_object_set_new(result, remark_kind_name(kind), json_array());
	list_for_each(node, remarks) {
		const struct remark *remark = container_of(node, struct remark, link);

		json_array_append_new(json_object_get(result, remark_kind_name(remark->kind)), json_text(remark->text));
	}
	return result;
}

static int reload_method(struct call *call)
{
	struct list_head remarks = LIST_HEAD_INIT(remarks);
	int result = method_params(call, "{!}");

	if (result == 0) {
		log_info("reload (user %u)", call->peer->uid);
		result = reload_run(&remarks, &call->whole, &call->error);
	}
	if (result == 0)
		call->result = remarks_result(&remarks);
	remarks_free(&remarks);
	return result;
}

const struct method change_methods[] = {
	{ .name = "export.add", .changes = true, .run = export_add_method },
	{ .name = "export.remove", .changes = true, .run = export_remove_method },
	{ .name = "disk.resize", .changes = true, .run = disk_resize_method },
	{ .name = "disk.check", .changes = true, .run = disk_check_method },
	{ .name = "disk.ioctl", .changes = true, .run = disk_ioctl_method },
	{ .name = "reload", .changes = true, .run = reload_method },
	{ .name = "tls.reload", .changes = true, .run = tls_reload_method },
	{ .name = NULL },
};
