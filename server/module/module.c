/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "server/block/device.h"
#include "server/block/driver.h"
#include "server/block/registry.h"
#include "server/module/license.h"
#include "server/module/modname.h"
#include "server/module/module_check.h"
#include "server/module/module_image.h"
#include "server/module/module_link.h"
#include "server/module/module_needed.h"
#include "server/module/module_symbols.h"
#include "server/module/module_trust.h"
#include "server/module/symbol.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct list_head modules = LIST_HEAD_INIT(modules);
static void (*tell)(const char *event, const char *module);

void module_lock(void)
{
	pthread_mutex_lock(&lock);
}

void module_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* With the lock held. */
static void set_state(struct module *module, enum module_state state)
{
	module->state = state;
	pthread_cond_broadcast(&changed);
}

static void *owner_of(const void *address)
{
	struct list_head *node;
	void *owner = NULL;

	module_lock();
	list_for_each(node, &modules) {
		struct module *module = container_of(node, struct module, link);

		if (module->base && (uintptr_t)address >= module->base && (uintptr_t)address < module->end)
			owner = module;
	}
	module_unlock();
	return owner;
}

void module_init(void (*teller)(const char *event, const char *module))
{
	tell = teller;
	driver_init_owners(owner_of);
}

bool module_settled(const char *name)
{
	const struct module *module;

	module_lock();
	while ((module = module_find(name)) && module->state != MODULE_LIVE)
		pthread_cond_wait(&changed, &lock);
	module_unlock();
	return module != NULL;
}

struct list_head *module_list(void)
{
	return &modules;
}

struct module *module_find(const char *name)
{
	struct list_head *node;

	list_for_each(node, &modules) {
		struct module *module = container_of(node, struct module, link);

		if (modname_equal(module->info.name, name))
			return module;
	}
	return NULL;
}

int module_find_live(const char *name, struct module **ret, struct platter_error *error)
{
	struct module *module = module_find(name);

	*ret = module;
	if (!module)
		return platter_fail(error, ENOENT, "there is no module named \"%.64s\"", name);
	if (module->state == MODULE_LIVE)
		return 0;
	return platter_fail(error, EBUSY, "%s is being %s", module->info.name, module->state == MODULE_LOADING ? "loaded" : "unloaded");
}

/* What ld.so knows it by, and, as it isn't "self", debuggers, too. */
static const char *mapped_name(const struct module *module, char name[64])
{
	snprintf(name, 64, "/proc/%d/fd/%d", (int)getpid(), module->fd);
	return name;
}

static bool is_mapped(const struct module *module)
{
	char name[64];
	void *handle = dlopen(mapped_name(module, name), RTLD_NOLOAD | RTLD_LAZY);

	if (handle)
		dlclose(handle);
	return handle != NULL;
}

/* Unmaps and frees it; nothing of it runs, or is known to anybody. */
static void module_free(struct module *module)
{
	if (!module)
		return;
	if (module->handle && dlclose(module->handle) != 0)
		log_error("%s: %s", module->path, dlerror());
	if (module->handle && is_mapped(module)) {
		log_error("%s: cannot be unmapped: a thread or library still holds it; its memory stays taken", module->path);
		module->fd = -1; /* for ever: a module that got its number would be taken for this one */
	}
	param_table_destroy(&module->params);
	if (module->fd >= 0)
		close(module->fd);
	module_info_free(&module->info);
	free(module->uses);
	free(module->path);
	free(module);
}

static struct module *module_new(const char *path)
{
	struct module *module = calloc(1, sizeof(*module));

	if (!module)
		return NULL;
	list_init(&module->link);
	module->fd = -1;
	module->path = strdup(path);
	if (module->path)
		return module;
	module_free(module);
	return NULL;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* And *SPAN: from its first address to its last. */
static size_t memory_size(const struct module_file *file, uintptr_t *span)
{
	size_t bytes = 0;

	*span = 0;
	for (size_t i = 0; i < file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(file, i);

		if (segment.p_type != PT_LOAD)
			continue;
		bytes += segment.p_memsz;
		if (segment.p_vaddr + segment.p_memsz > *span)
			*span = segment.p_vaddr + segment.p_memsz;
	}
	return bytes;
}

/* Everything that can be seen without running any of it. */
static int examine(struct module *module, struct module_file *file, struct platter_error *error)
{
	int fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int result;

	if (fd < 0)
		return platter_fail(error, errno, "%s: %s", module->path, strerror(errno));
	result = module_trust(fd, module->path, error);
	if (result == 0)
		result = module_file_open(file, fd, module->path, error);
	close(fd);
	if (result == 0)
		result = module_info_read(&module->info, file, error);
	if (result == 0)
		result = module_check(file, &module->info, error);
	if (result == 0)
		result = module_needed_trust(file, error);
	if (result == 0 && !modname_is_of_path(module->info.name, file_name(module->path)))
		result = platter_fail(error, ENOEXEC, "%s: the file's name must be the module's, %s.so", module->path,
				      module->info.name);
	if (result < 0)
		return result;
	module->fd = module_image(file, module->info.name, error);
	if (module->fd < 0)
		return module->fd;
	module->size = memory_size(file, &module->end);
	module->free_license = license_is_free(module->info.license);
	module->gpl_compatible = license_is_gpl_compatible(module->info.license);
	return 0;
}

/* Takes its name, and a use of each module that it imports from; UNKNOWN gets what nobody exports. */
static int enter(struct module *module, struct module_names *unknown, struct platter_error *error)
{
	int result;

	module_lock();
	if (module_find(module->info.name))
		result = platter_fail(error, EEXIST, "%s: is loaded already", module->info.name);
	else
		result = module_link_check(module, &modules, unknown, error);
	if (result == 0)
		list_add_tail(&module->link, &modules);
	module_unlock();
	return result;
}

/* With the lock held, so that whoever hears it hears all in their order. */
static void announce(const struct module *module, bool loaded)
{
	log_notice("%s: %s", module->info.name, loaded ? "loaded" : "unloaded");
	tell(loaded ? "module-loaded" : "module-unloaded", module->info.name);
}

/* Gives back what enter() took. */
static void leave(struct module *module)
{
	module_lock();
	list_del_init(&module->link);
	if (module->state == MODULE_UNLOADING)
		announce(module, false);
	module_link_drop(module);
	pthread_cond_broadcast(&changed);
	module_unlock();
}

/* All that is unknown: into the log and, when it is more than an error can say, into *WHOLE. */
static void name_unknown(const struct module *module, const struct module_names *unknown, char **whole)
{
	module_symbols_log(module->info.name, unknown);
	*whole = module_symbols_message(module->info.name, unknown);
	if (!*whole || strlen(*whole) >= sizeof(struct platter_error))
		return;
	free(*whole);
	*whole = NULL;
}

/* READ: as in module_symbols_check(). */
static int check_symbols(const struct module *module, const struct module_file *file, bool read, struct module_names *unknown,
			 char **whole, struct platter_error *error)
{
	int result = module_symbols_check(file, &module->info, read, symbol_is_host, NULL, unknown, error);

	if (result < 0 && unknown->count)
		name_unknown(module, unknown, whole);
	return result;
}

/* ld.so would not have it; it names one unknown symbol, where there may be more. */
static int refuse(const struct module *module, const struct module_file *file, char **whole, struct platter_error *error)
{
	int result = platter_fail(error, ENOEXEC, "%s: %s", module->info.name, dlerror());
	struct module_names unknown = { 0 };
	int all = check_symbols(module, file, true, &unknown, whole, error);

	module_names_free(&unknown);
	return all < 0 ? all : result;
}

/* Maps it, which runs constructors, its own and those of libraries that it brings, and binds what it imports. */
static int map(struct module *module, const struct module_file *file, char **whole, struct platter_error *error)
{
	struct link_map *link;
	char name[64];

	if (is_mapped(module))
		return platter_fail(error, EBUSY, "%s: a module that could not be unmapped is in its way", module->info.name);
	driver_set_owner(module);
	module->handle = dlopen(mapped_name(module, name), RTLD_NOW | RTLD_LOCAL);
	driver_set_owner(NULL);
	if (!module->handle)
		return refuse(module, file, whole, error);
	if (dlinfo(module->handle, RTLD_DI_LINKMAP, &link) == 0) {
		module_lock();
		module->base = link->l_addr;
		module->end += link->l_addr;
		module_unlock();
	}
	module->descriptor = dlsym(module->handle, "platter_module");
	if (!module->descriptor)
		return platter_fail(error, ENOEXEC, "%s: %s", module->info.name, dlerror());
	return module_link_bind(module, error);
}

/* What a module's init registered, or its exit forgot, is taken back, loudly. */
static void forget_leftovers(struct module *module)
{
	const struct platter_driver *driver;
	char *name;

	while ((driver = driver_of_owner(module))) {
		log_warning("%s: forgot to unregister its driver %s", module->info.name, driver->name);
		driver_unregister(driver);
		driver_put(driver);
	}
	while ((name = device_forget(module))) {
		log_warning("%s: forgot to unregister its block device %s", module->info.name, name);
		free(name);
	}
}

static int initialise(struct module *module, const char *const *args, size_t count, struct platter_error *error)
{
	const struct platter_module *descriptor = module->descriptor;
	int result = param_table_init(&module->params, module->info.name, descriptor->params, descriptor->params_end, error);

	if (result == 0)
		result = param_parse(&module->params, args, count, error);
	if (result < 0 || !descriptor->init)
		return result;
	driver_set_owner(module);
	result = descriptor->init();
	driver_set_owner(NULL);
	if (result == 0)
		return 0;
	return platter_fail(error, result < 0 && result >= -4095 ? -result : EIO, "%s: its init failed: %s", module->info.name,
			    result < 0 ? strerror(-result) : "not a negative errno");
}

/* From where on it is in the table. */
static int bring_up(struct module *module, const struct module_file *file, const char *const *args, size_t count,
		    char **whole, struct platter_error *error)
{
	int result = map(module, file, whole, error);

	if (result == 0)
		result = initialise(module, args, count, error);
	if (result < 0) {
		forget_leftovers(module);
		leave(module);
		return result;
	}
	if (!module->free_license)
		log_warning("%s: its license, %s, taints the server", module->info.name, module->info.license);
	driver_open_owner(module);
	/* From here on somebody else may unload it. */
	module_lock();
	announce(module, true);
	set_state(module, MODULE_LIVE);
	module_unlock();
	return 0;
}

int module_load(const char *path, const char *const *args, size_t count, char **whole, struct platter_error *error)
{
	struct module *module = module_new(path);
	struct module_file file = { .path = NULL };
	struct module_names unknown = { 0 };
	int result;

	free(*whole);
	*whole = NULL;
	if (!module)
		return platter_fail(error, ENOMEM, "no memory");
	result = examine(module, &file, error);
	if (result == 0)
		result = enter(module, &unknown, error);
	if (result == 0) {
		result = check_symbols(module, &file, false, &unknown, whole, error);
		if (result < 0)
			leave(module);
		else
			result = bring_up(module, &file, args, count, whole, error);
	}
	module_names_free(&unknown);
	module_file_close(&file);
	if (result < 0)
		module_free(module);
	return result;
}

unsigned module_disks(const struct module *module)
{
	return driver_owner_disks(module);
}

unsigned module_disk_users(const struct module *module)
{
	return driver_owner_users(module);
}

/* With the lock held: the names of those that import from MODULE. */
static void name_users(const struct module *module, char *text, size_t size)
{
	struct list_head *node;

	*text = '\0';
	list_for_each(node, &modules) {
		const struct module *other = container_of(node, struct module, link);

		for (struct module **used = other->uses; used && *used; used++)
			if (*used == module && strlen(text) + strlen(other->info.name) + 2 < size)
				sprintf(text + strlen(text), " %s", other->info.name);
	}
}

static int start_unloading(const char *name, struct module **ret, struct platter_error *error)
{
	char users[256];
	int result;

	module_lock();
	result = module_find_live(name, ret, error);
	if (result == 0 && (*ret)->users) {
		name_users(*ret, users, sizeof(users));
		result = platter_fail(error, EBUSY, "%s is in use by:%s", (*ret)->info.name, users);
	}
	if (result == 0)
		set_state(*ret, MODULE_UNLOADING);
	module_unlock();
	return result;
}

static void take_down(struct module *module)
{
	driver_set_owner(module);
	if (module->descriptor->exit)
		module->descriptor->exit();
	driver_set_owner(NULL);
	forget_leftovers(module);
	leave(module);
	module_free(module);
}

int module_unload(const char *name, const struct patience *patience, struct platter_error *error)
{
	struct module *module;
	int result = start_unloading(name, &module, error);

	if (result < 0)
		return result;
	result = driver_shut_owner(module, patience, error);
	if (result < 0) {
		module_lock();
		set_state(module, MODULE_LIVE);
		module_unlock();
		return result;
	}
	take_down(module);
	return 0;
}

/* Those that others import from were loaded before them. */
void module_unload_all(void)
{
	while (!list_empty(&modules)) {
		struct module *module = container_of(modules.prev, struct module, link);

		module_lock();
		set_state(module, MODULE_UNLOADING);
		module_unlock();
		take_down(module);
	}
}

/* With the lock held: the parameter, if NEED (a permission bit) is among its permissions. */
static int find_param(const char *name, const char *param, unsigned need, struct module **module,
		      const struct platter_param **ret, struct platter_error *error)
{
	int result = module_find_live(name, module, error);

	if (result < 0)
		return result;
	*ret = param_find(&(*module)->params, param);
	if (!*ret || !(*ret)->permissions)
		return platter_fail(error, ENOENT, "%s has no parameter \"%.64s\"", (*module)->info.name, param);
	if (!((*ret)->permissions & need))
		return platter_fail(error, EACCES, "%s: its parameter %s cannot be %s at run time", (*module)->info.name, (*ret)->name,
				    need == 0200 ? "set" : "read");
	return 0;
}

int module_param_get(const char *name, const char *param, char **ret, struct platter_error *error)
{
	const struct platter_param *found;
	struct module *module;
	int result;

	*ret = NULL;
	module_lock();
	result = find_param(name, param, 0400, &module, &found, error);
	if (result == 0)
		*ret = param_format(found);
	module_unlock();
	return result < 0 || *ret ? result : platter_fail(error, ENOMEM, "no memory");
}

int module_param_set(const char *name, const char *param, const char *value, struct platter_error *error)
{
	const struct platter_param *found;
	struct module *module;
	int result;

	module_lock();
	result = find_param(name, param, 0200, &module, &found, error);
	if (result == 0)
		result = param_set(&module->params, found, value, error);
	module_unlock();
	return result;
}
