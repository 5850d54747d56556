/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/control/method.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include <platter/driver.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/block/registry.h"
#include "server/control/peer.h"
#include "server/reactor.h"

/* Seconds. */
#define MOST_DRAIN 86400

static const struct method *const tables[] = { list_methods, change_methods, queue_methods, mark_methods, module_methods, stats_methods,
					     watch_methods };

static const struct method *find(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct method *method = tables[i]; method->name; method++)
			if (strcmp(method->name, name) == 0)
				return method;
	return NULL;
}

const char *method_code(int code)
{
	const char *name = strerrorname_np(code);

	return name ? name : "EIO";
}

json_t *json_text(const char *text)
{
	size_t length = strlen(text);
	const uint8_t *wrong = u8_check((const uint8_t *)text, length);
	char printable[1024];

	/* A text that was cut may end in the middle of a character. */
	if (wrong && (size_t)(wrong - (const uint8_t *)text) + 4 > length)
		length = (size_t)(wrong - (const uint8_t *)text);
	else if (wrong)
		return json_string(log_printable(printable, sizeof(printable), text, (unsigned)length));
	return json_stringn(text, length);
}

json_t *method_error(const json_t *id, int code, const char *text)
{
	return json_pack("{s:O*, s:{s:s, s:o}}", "id", id, "error", "code", method_code(code), "message",
			 json_text(*text ? text : strerror(code)));
}

static bool peer_has_gone(void *peer)
{
	return peer_gone(peer);
}

int method_patience(struct call *call, json_int_t drain, struct patience *ret)
{
	*ret = (struct patience){ .give_up = peer_has_gone, .argument = call->peer };
	if (drain < 0 || drain > MOST_DRAIN)
		return platter_fail(&call->error, EINVAL, "params: drain: %" JSON_INTEGER_FORMAT " is not from 0 to %d seconds", drain,
				    MOST_DRAIN);
	ret->until = drain ? clock_ns() + (uint64_t)drain * 1000000000u : 0;
	return 0;
}

int method_params(struct call *call, const char *format, ...)
{
	json_error_t error;
	va_list args;
	int result;

	va_start(args, format);
	result = json_vunpack_ex(call->params, &error, 0, format, args);
	va_end(args);
	return result < 0 ? platter_fail(&call->error, EINVAL, "params: %s", error.text) : 0;
}

/* Runs METHOD with PARAMS, NULL for none. */
static int run(const struct method *method, struct call *call, json_t *params)
{
	int result;

	if (method->changes && !call->peer->may_change)
		return platter_fail(&call->error, EACCES, "%s is for root and the server's own user", method->name);
	if (params && !json_is_object(params))
		return platter_fail(&call->error, EINVAL, "params: not an object");
	if (method->plain && json_object_size(params))
		return platter_fail(&call->error, EINVAL, "params: %s takes none", method->name);
	if (!reactors_hold())
		return platter_fail(&call->error, ESHUTDOWN, "the server is shutting down");
	call->params = params ? json_incref(params) : json_object();
	result = call->params ? method->run(call) : -ENOMEM;
	reactors_release();
	return result;
}

/* A request that is an object. */
static bool answer(struct peer *peer, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "method"));
	json_t *id = json_object_get(request, "id");
	const struct method *method = name ? find(name) : NULL;
	struct call call = { .peer = peer };
	bool sent;
	int result;

	if (!name)
		return peer_send(peer, method_error(id, EINVAL, "a request needs a \"method\", a string"));
	if (!method) {
		(void)platter_fail(&call.error, 0, "there is no method \"%.64s\"", name);
		return peer_send(peer, method_error(id, ENOSYS, call.error.text));
	}
	result = run(method, &call, json_object_get(request, "params"));
	if (result < 0)
		sent = peer_send(peer, method_error(id, -result, call.whole ? call.whole : call.error.text));
	else
		sent = peer_send(peer, json_pack("{s:O*, s:o}", "id", id, "result",
						 call.result ? json_incref(call.result) : json_object()));
	if (result == 0 && sent && method->stream) {
		method->stream(&call);
		sent = false;
	}
	json_decref(call.params);
	json_decref(call.result);
	free(call.whole);
	return sent;
}

bool method_call(struct peer *peer, const char *line, size_t length)
{
	json_error_t error;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	bool goes_on;

	if (!request)
		return peer_send(peer, method_error(NULL, EPROTO, error.text));
	if (json_is_object(request))
		goes_on = answer(peer, request);
	else
		goes_on = peer_send(peer, method_error(NULL, EPROTO, "a request is an object"));
	json_decref(request);
	return goes_on;
}
