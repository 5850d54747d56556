/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods on modules. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <platter/driver.h>

#include "common/log.h"
#include "server/block/registry.h"
#include "server/control/method.h"
#include "server/control/peer.h"
#include "server/module/modprobe.h"
#include "server/module/module.h"
#include "server/module/symbol.h"

static const char *state_name(enum module_state state)
{
	static const char *const names[] = { [MODULE_LOADING] = "Loading", [MODULE_LIVE] = "Live", [MODULE_UNLOADING] = "Unloading" };

	return names[state];
}

/* With the modules' lock held: the names of those that import from MODULE. */
static json_t *users_of(const struct module *module)
{
	json_t *names = json_array();
	struct list_head *node;

	list_for_each(node, module_list()) {
		const struct module *other = container_of(node, struct module, link);

		for (struct module **used = other->uses; used && *used; used++)
			if (*used == module)
				json_array_append_new(names, json_string(other->info.name));
	}
	return names;
}

/* The newest first, as in /proc/modules. */
static int modules_list(struct call *call)
{
	json_t *list = json_array();
	struct list_head *node;

	module_lock();
	list_for_each(node, module_list()) {
		const struct module *module = container_of(node, struct module, link);
		unsigned disks = module_disk_users(module);

		json_array_insert_new(list, 0, json_pack("{s:s, s:I, s:i, s:o, s:i, s:s, s:s, s:s, s:s, s:s}",
							 "name", module->info.name, "size", (json_int_t)module->size,
							 "users", (int)(module->users + disks), "used_by", users_of(module),
							 "disk_users", (int)disks, "state", state_name(module->state),
							 "taint", module->free_license ? "" : "P",
							 "version", module->info.version, "license", module->info.license,
							 "file", module->path));
	}
	module_unlock();
	call->result = json_pack("{s:o}", "modules", list);
	return 0;
}

/* An address as /proc/kallsyms shows it. */
static json_t *symbol(const struct call *call, void (*address)(void), const char *name, const struct module *module)
{
	char text[24];

	/* Those who may only look needn't know where code lies. */
	snprintf(text, sizeof(text), "%016" PRIxPTR, call->peer->may_change ? (uintptr_t)address : 0);
	return json_pack("{s:s, s:s, s:s, s:s?}", "address", text, "type", "T", "name", name,
			 "module", module ? module->info.name : NULL);
}

static void append_exports(const struct call *call, json_t *list, const struct module *module)
{
	const struct platter_module *descriptor = module->state == MODULE_LIVE ? module->descriptor : NULL;

	for (const struct platter_export *export = descriptor ? descriptor->exports : NULL; export && export < descriptor->exports_end;
	     export++)
		json_array_append_new(list, symbol(call, export->address, export->name, module));
}

static int modules_symbols(struct call *call)
{
	json_t *list = json_array();
	const struct symbol *host;
	struct list_head *node;

	for (size_t i = 0; (host = symbol_host(i)); i++)
		json_array_append_new(list, symbol(call, host->address, host->name, NULL));
	module_lock();
	list_for_each(node, module_list())
		append_exports(call, list, container_of(node, struct module, link));
	module_unlock();
	call->result = json_pack("{s:o}", "symbols", list);
	return 0;
}

typedef int load_function(const char *what, const char *const *args, size_t count, char **whole, struct platter_error *error);

/* Loads WHAT with the strings of ARGS. */
static int load(struct call *call, load_function *load_it, const char *what, json_t *args)
{
	size_t count = json_array_size(args);
	const char **texts = calloc(count + 1, sizeof(*texts));
	int result = 0;

	if (!texts)
		return platter_fail(&call->error, ENOMEM, "no memory");
	for (size_t i = 0; i < count && result == 0; i++) {
		texts[i] = json_string_value(json_array_get(args, i));
		if (!texts[i])
			result = platter_fail(&call->error, EINVAL, "params: args: not all are strings");
	}
	if (result == 0)
		result = load_it(what, texts, count, &call->whole, &call->error);
	free(texts);
	return result;
}

static int modules_insmod(struct call *call)
{
	json_t *args = NULL;
	const char *file;
	int result = method_params(call, "{s:s, s?o!}", "file", &file, "args", &args);

	if (result < 0)
		return result;
	if (args && !json_is_array(args))
		return platter_fail(&call->error, EINVAL, "params: args: not an array");
	if (*file != '/')
		return platter_fail(&call->error, EINVAL, "params: file: %.64s: not an absolute path", file);
	result = load(call, module_load, file, args);
	if (result < 0)
		return result;
	log_notice("insmod %s (user %u)", file, call->peer->uid);
	return 0;
}

static int modules_rmmod(struct call *call)
{
	struct patience patience;
	json_int_t drain = 0;
	const char *name;
	int result = method_params(call, "{s:s, s?I!}", "name", &name, "drain", &drain);

	if (result == 0)
		result = method_patience(call, drain, &patience);
	if (result == 0)
		result = module_unload(name, &patience, &call->error);
	if (result < 0)
		return result;
	log_notice("rmmod %s (user %u)", name, call->peer->uid);
	return 0;
}

static int modules_modprobe(struct call *call)
{
	json_t *args = NULL;
	const char *name;
	int removes = 0;
	int result = method_params(call, "{s:s, s?o, s?b!}", "name", &name, "args", &args, "remove", &removes);

	if (result < 0)
		return result;
	if (args && !json_is_array(args))
		return platter_fail(&call->error, EINVAL, "params: args: not an array");
	if (removes)
		result = modprobe_unload(name, PATIENCE_NONE, &call->error);
	else
		result = load(call, modprobe_load, name, args);
	if (result < 0)
		return result;
	log_notice("modprobe %s%s (user %u)", removes ? "-r " : "", name, call->peer->uid);
	return 0;
}

/* With the modules' lock held: the parameters that the peer may see, with their values. */
static json_t *params_of(const struct call *call, const struct module *module)
{
	json_t *list = json_array();
	const struct platter_param *param = module->params.params;

	for (; param && param < module->params.end; param++) {
		char *value = param->permissions & (call->peer->may_change ? 0400 : 0004) ? param_format(param) : NULL;

		if (value)
			json_array_append_new(list, json_pack("{s:s, s:o, s:b}", "name", param->name, "value", json_text(value),
							      "writable", (int)(param->permissions & 0200)));
		free(value);
	}
	return list;
}

static int modules_params(struct call *call)
{
	struct module *module;
	const char *name;
	int result = method_params(call, "{s:s!}", "name", &name);

	if (result < 0)
		return result;
	module_lock();
	result = module_find_live(name, &module, &call->error);
	if (result == 0)
		call->result = json_pack("{s:o}", "params", params_of(call, module));
	module_unlock();
	return result;
}

static int modules_param_set(struct call *call)
{
	const char *name, *param, *value;
	int result = method_params(call, "{s:s, s:s, s:s!}", "name", &name, "param", &param, "value", &value);

	if (result == 0)
		result = module_param_set(name, param, value, &call->error);
	if (result == 0)
		log_notice("%s: parameter %s set to %.200s (user %u)", name, param, value, call->peer->uid);
	return result;
}

const struct method module_methods[] = {
	{ .name = "modules", .plain = true, .run = modules_list },
	{ .name = "symbols", .plain = true, .run = modules_symbols },
	{ .name = "module.params", .run = modules_params },
	{ .name = "module.insmod", .changes = true, .run = modules_insmod },
	{ .name = "module.rmmod", .changes = true, .run = modules_rmmod },
	{ .name = "module.modprobe", .changes = true, .run = modules_modprobe },
	{ .name = "module.param.set", .changes = true, .run = modules_param_set },
	{ .name = NULL },
};
