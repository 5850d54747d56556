/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods that change the running server, for root and the server's own user. */
#include <errno.h>
#include <inttypes.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/admin.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/records.h"

/* The most seconds that removing waits for users to leave. */
#define MOST_DRAIN 86400

/* Tells those who watch; takes EVENT. */
static void tell(json_t *event)
{
	char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

	if (text)
		records_add(RECORD_EVENT, LOG_LEVEL_INFO, text);
	free(text);
	json_decref(event);
}

static int export_add_method(struct call *call)
{
	struct export *export = NULL;
	const char *spec;
	int result = method_params(call, "{s:s!}", "spec", &spec);

	if (result == 0)
		result = admin_add(spec, &export, &call->error);
	if (result < 0)
		return result;
	call->result = json_pack("{s:s?}", "name", export ? export->name : NULL);
	if (export) {
		log_notice("%s: added (user %u)", export->name, call->peer->uid);
		tell(json_pack("{s:s, s:s}", "event", "export-added", "name", export->name));
	}
	export_put(export);
	return 0;
}

static int export_remove_method(struct call *call)
{
	const char *name;
	json_int_t drain = 0;
	int result = method_params(call, "{s:s, s?I!}", "name", &name, "drain", &drain);

	if (result == 0 && (drain < 0 || drain > MOST_DRAIN))
		result = platter_fail(&call->error, EINVAL, "params: drain: %" JSON_INTEGER_FORMAT " is not from 0 to %d seconds",
				      drain, MOST_DRAIN);
	if (result == 0)
		result = admin_remove(name, (uint64_t)drain * 1000000000u, &call->error);
	if (result < 0)
		return result;
	log_notice("%s: removed (user %u)", name, call->peer->uid);
	tell(json_pack("{s:s, s:s}", "event", "export-removed", "name", name));
	return 0;
}

const struct method change_methods[] = {
	{ .name = "export.add", .changes = true, .run = export_add_method },
	{ .name = "export.remove", .changes = true, .run = export_remove_method },
	{ .name = NULL },
};
