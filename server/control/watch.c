/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods on the records: the log's ring, and streams of what is logged and what happens. */
#include <errno.h>
#include <stdatomic.h>

#include <platter/driver.h>

#include "server/control/control.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/records.h"

/* {"log": {...}} or {"event": {...}} */
static json_t *as_json(const struct record *record)
{
	json_t *object;

	if (record->kind == RECORD_EVENT) {
		object = json_loads(record->text, 0, NULL);
		json_object_update_new(object, json_pack("{s:I, s:I}", "number", (json_int_t)record->number, "realtime_us",
							 (json_int_t)record->realtime_us));
		return json_pack("{s:o}", "event", object);
	}
	/* A message may hold a path of any bytes. */
	object = json_pack("{s:I, s:I, s:I, s:i}", "number", (json_int_t)record->number, "realtime_us",
			   (json_int_t)record->realtime_us, "uptime_us", (json_int_t)record->uptime_us, "level",
			   (int)record->level);
	json_object_set_new(object, "text", json_text(record->text));
	return json_pack("{s:o}", "log", object);
}

/* Which kinds the parameters ask for; 0: none. */
static unsigned kinds_of(json_t *params)
{
	return (json_is_true(json_object_get(params, "log")) ? (unsigned)RECORD_LOG : 0) |
	       (json_is_true(json_object_get(params, "events")) ? (unsigned)RECORD_EVENT : 0);
}

static int watch_log(struct call *call)
{
	json_t *list = json_array();
	json_int_t after = 0;
	struct record record;
	int result = method_params(call, "{s?I!}", "after", &after);

	if (result < 0) {
		json_decref(list);
		return result;
	}
	while (records_next((uint64_t)(after < 0 ? 0 : after), RECORD_LOG, &record)) {
		json_t *one = as_json(&record);

		json_array_append(list, json_object_get(one, "log"));
		json_decref(one);
		after = (json_int_t)record.number;
		record_free(&record);
	}
	call->result = json_pack("{s:o}", "messages", list);
	return 0;
}

static int watch_start(struct call *call)
{
	int log = 0, events = 0;
	json_int_t after = 0;
	int result = method_params(call, "{s?b, s?b, s?I!}", "log", &log, "events", &events, "after", &after);

	if (result == 0 && !log && !events)
		return platter_fail(&call->error, EINVAL, "params: ask for \"log\" or \"events\", or both");
	/* From now on: what comes while the answer is on its way is not lost. */
	if (result == 0 && !json_object_get(call->params, "after"))
		json_object_set_new(call->params, "after", json_integer((json_int_t)records_newest()));
	return result;
}

/* Ends when the peer does, or the server. */
static void watch_stream(struct call *call)
{
	unsigned kinds = kinds_of(call->params);
	json_int_t asked = json_integer_value(json_object_get(call->params, "after"));
	uint64_t after = asked > 0 ? (uint64_t)asked : 0;
	struct record record;

	while (!control_stopping() && !peer_gone(call->peer)) {
		uint64_t newest = records_wait(after);
		bool sent = true;

		while (sent && records_next(after, kinds, &record)) {
			sent = peer_send(call->peer, as_json(&record));
			after = record.number;
			record_free(&record);
		}
		if (!sent)
			return;
		if (after < newest)
			after = newest;
	}
}

const struct method watch_methods[] = {
	{ .name = "log", .run = watch_log },
	{ .name = "watch", .run = watch_start, .stream = watch_stream },
	{ .name = NULL },
};
