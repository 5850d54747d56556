/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/driver.h"

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "plugins/builtin.h"
#include "server/block/device.h"
#include "server/block/disk.h"
#include "server/block/error.h"
#include "server/block/registry.h"

#define MAX_ERRNO 4095

static struct list_head drivers = LIST_HEAD_INIT(drivers);

static _Thread_local void *current_owner;

void driver_set_owner(void *owner)
{
	current_owner = owner;
}

static void *(*owner_of)(const void *address);

void driver_init_owners(void *(*of_address)(const void *address))
{
	owner_of = of_address;
}

void *driver_owner(const void *address)
{
	return current_owner ? current_owner : owner_of ? owner_of(address) : NULL;
}

static struct driver *of(const struct platter_driver *driver)
{
	return container_of((struct platter_driver *)(uintptr_t)driver, struct driver, driver);
}

struct list_head *driver_list(void)
{
	return &drivers;
}

static struct driver *find(const char *name)
{
	struct list_head *node;

	list_for_each(node, &drivers) {
		struct driver *driver = container_of(node, struct driver, link);

		if (strcmp(driver->driver.name, name) == 0)
			return driver;
	}
	return NULL;
}

const struct platter_driver *driver_get(const char *name)
{
	struct driver *driver;

	registry_lock();
	driver = find(name);
	if (driver && driver->shut)
		driver = NULL;
	if (driver)
		driver->users++;
	registry_unlock();
	return driver ? &driver->driver : NULL;
}

const struct platter_driver *driver_ref(const struct platter_driver *driver)
{
	registry_lock();
	of(driver)->users++;
	registry_unlock();
	return driver;
}

static void free_keys(const struct platter_key *keys)
{
	for (const struct platter_key *key = keys; key && key->name; key++) {
		free((char *)(uintptr_t)key->name);
		free((char *)(uintptr_t)key->help);
	}
	free((struct platter_key *)(uintptr_t)keys);
}

static void free_commands(const struct platter_command *commands)
{
	for (const struct platter_command *command = commands; command && command->name; command++) {
		free((char *)(uintptr_t)command->name);
		free((char *)(uintptr_t)command->arguments);
		free((char *)(uintptr_t)command->help);
	}
	free((struct platter_command *)(uintptr_t)commands);
}

static void free_contexts(const char *const *contexts)
{
	for (const char *const *context = contexts; context && *context; context++)
		free((char *)(uintptr_t)*context);
	free((const char **)(uintptr_t)contexts);
}

static void driver_free(struct driver *driver)
{
	free((char *)(uintptr_t)driver->driver.name);
	free((char *)(uintptr_t)driver->driver.description);
	free_keys(driver->driver.keys);
	free_commands(driver->ops.commands);
	free_contexts(driver->ops.contexts);
	free(driver);
}

void driver_put(const struct platter_driver *driver)
{
	bool last;

	if (!driver)
		return;
	registry_lock();
	last = --of(driver)->users == 0;
	registry_changed();
	registry_unlock();
	if (last)
		driver_free(of(driver));
}

/* NULL as "": the host's own code needn't ask.  What isn't a line of UTF-8, as lists and clients expect it, gets question marks. */
static char *copy_text(const char *text)
{
	char *copy = strdup(text ? text : "");

	if (copy && !utf8_is_line(copy))
		log_printable(copy, (unsigned)strlen(text) + 1, text, (unsigned)strlen(text));
	return copy;
}

static const struct platter_key *copy_keys(const struct platter_key *keys)
{
	struct platter_key *copy;
	size_t count = 0;
	bool complete = true;

	while (keys && keys[count].name)
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = (struct platter_key){ copy_text(keys[i].name), keys[i].type, copy_text(keys[i].help) };
		complete &= copy[i].name && copy[i].help;
	}
	if (copy && complete)
		return copy;
	free_keys(copy);
	return NULL;
}

static const struct platter_command *copy_commands(const struct platter_command *commands)
{
	struct platter_command *copy;
	size_t count = 0;
	bool complete = true;

	while (commands && commands[count].name)
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = (struct platter_command){ copy_text(commands[i].name), copy_text(commands[i].arguments),
						    copy_text(commands[i].help) };
		complete &= copy[i].name && copy[i].arguments && copy[i].help;
	}
	if (copy && complete)
		return copy;
	free_commands(copy);
	return NULL;
}

static const char *const *copy_contexts(const char *const *contexts)
{
	const char **copy;
	size_t count = 0;
	bool complete = true;

	while (contexts && contexts[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && complete && i < count; i++) {
		copy[i] = strdup(contexts[i]);
		complete = copy[i];
	}
	if (copy && complete)
		return copy;
	free_contexts(copy);
	return NULL;
}

/* An older, smaller structure is filled up with zeroes. */
static struct driver *copy_driver(const struct platter_driver *origin)
{
	struct driver *driver = calloc(1, sizeof(*driver));

	if (!driver)
		return NULL;
	memcpy(&driver->driver, origin, origin->size);
	memcpy(&driver->ops, origin->ops, origin->ops->size);
	driver->origin = origin;
	driver->owner = driver_owner(origin);
	/* A module that isn't up yet may still fail. */
	driver->shut = current_owner != NULL;
	driver->users = 1;
	driver->driver.ops = &driver->ops;
	driver->driver.name = copy_text(driver->driver.name);
	driver->driver.description = copy_text(driver->driver.description);
	driver->driver.keys = copy_keys(driver->driver.keys);
	driver->ops.commands = copy_commands(driver->ops.commands);
	driver->ops.contexts = copy_contexts(driver->ops.contexts);
	if (driver->driver.name && driver->driver.description && driver->driver.keys && driver->ops.commands && driver->ops.contexts)
		return driver;
	driver_free(driver);
	return NULL;
}

/* What can be written in a configuration, and shown. */
static bool is_name(const char *name)
{
	size_t length = name ? strlen(name) : 0;

	return length > 0 && length <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

/* One or the other; an older module's structure may end before this. */
static bool has_handle(const struct platter_disk_ops *ops)
{
	return ops->size >= offsetof(struct platter_disk_ops, handle) + sizeof(ops->handle) && ops->handle;
}

/* NAMESPACE:NAME, and not one of ours or of those that have a meaning already. */
static bool is_context(const char *name)
{
	static const char *const taken[] = { "base:", "qemu:", "x-platter:" };
	const char *colon = strchr(name, ':');

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strncmp(name, taken[i], strlen(taken[i])) == 0)
			return false;
	return colon && colon != name && colon[1] && strlen(name) < DRIVER_CONTEXT_SIZE && utf8_is_line(name);
}

static bool is_among(const char *const *names, unsigned count, const char *name)
{
	while (count--)
		if (strcmp(names[count], name) == 0)
			return true;
	return false;
}

static bool are_contexts(const struct platter_disk_ops *ops)
{
	/* Likewise. */
	if (ops->size < offsetof(struct platter_disk_ops, contexts) + sizeof(ops->contexts) || !ops->contexts)
		return true;
	for (unsigned i = 0; ops->contexts[i]; i++)
		if (i == PLATTER_MOST_CONTEXTS || !is_context(ops->contexts[i]) || is_among(ops->contexts, i, ops->contexts[i]))
			return false;
	return true;
}

/* Its first member comes before anything else is believed. */
static bool is_complete(const struct platter_driver *driver)
{
	const struct platter_disk_ops *ops;

	if (driver->size > sizeof(*driver) || driver->size < offsetof(struct platter_driver, remove))
		return false;
	ops = driver->ops;
	return is_name(driver->name) && driver->probe && ops && ops->size <= sizeof(*ops) &&
	       ops->size > offsetof(struct platter_disk_ops, submit) && ops->open && (ops->submit || has_handle(ops)) && are_contexts(ops);
}

/* With the registry's lock held: in the order of names. */
static void insert(struct driver *driver)
{
	struct list_head *node;

	list_for_each(node, &drivers)
		if (strcmp(container_of(node, struct driver, link)->driver.name, driver->driver.name) > 0)
			break;
	list_add_tail(&driver->link, node);
}

int platter_register_driver(const struct platter_driver *origin)
{
	struct driver *driver;
	bool taken, has_major;
	int result;

	if (!is_complete(origin))
		return -EINVAL;
	driver = copy_driver(origin);
	if (!driver)
		return -ENOMEM;
	registry_lock();
	taken = find(driver->driver.name);
	has_major = device_major(driver->driver.name);
	if (!taken)
		insert(driver);
	registry_unlock();
	if (taken) {
		driver_free(driver);
		return -EBUSY;
	}
	if (has_major)
		return 0;
	result = platter_register_blkdev(0, driver->driver.name);
	if (result > 0) {
		driver->own_major = (unsigned)result;
		return 0;
	}
	registry_lock();
	list_del_init(&driver->link);
	registry_unlock();
	driver_put(&driver->driver);
	return result;
}

void driver_unregister(const struct platter_driver *known)
{
	struct driver *driver = of(known);
	bool listed;

	registry_lock();
	listed = !list_empty(&driver->link);
	list_del_init(&driver->link);
	registry_unlock();
	if (!listed)
		return;
	disk_remove_driver(known);
	if (driver->own_major)
		platter_unregister_blkdev(driver->own_major, known->name);
	driver_put(known);
}

/* The first in the list for which MATCHES is true, a reference. */
static struct driver *search(bool (*matches)(const struct driver *driver, const void *argument), const void *argument)
{
	struct driver *found = NULL;
	struct list_head *node;

	registry_lock();
	list_for_each(node, &drivers) {
		struct driver *driver = container_of(node, struct driver, link);

		if (!found && matches(driver, argument))
			found = driver;
	}
	if (found)
		found->users++;
	registry_unlock();
	return found;
}

static bool has_origin(const struct driver *driver, const void *origin)
{
	return driver->origin == origin;
}

static bool has_owner(const struct driver *driver, const void *owner)
{
	return driver->owner == owner;
}

void platter_unregister_driver(const struct platter_driver *origin)
{
	struct driver *driver = search(has_origin, origin);

	if (!driver)
		return;
	driver_unregister(&driver->driver);
	driver_put(&driver->driver);
}

const struct platter_driver *driver_of_owner(const void *owner)
{
	struct driver *driver = search(has_owner, owner);

	return driver ? &driver->driver : NULL;
}

int driver_result(int result, struct platter_error *error)
{
	if (result <= 0 && result >= -MAX_ERRNO)
		return result;
	return platter_fail(error, EIO, "its driver returned %d, which is neither 0 nor a negative errno", result);
}

int driver_init(void)
{
	static const struct platter_driver *const builtin[] = {
		&file_driver,
#ifndef NULL_MODULE
		&null_driver,
#endif
#ifndef RAM_MODULE
		&ram_driver,
#endif
	};
	int result = 0;

	for (size_t i = 0; result == 0 && i < sizeof(builtin) / sizeof(builtin[0]); i++)
		result = platter_register_driver(builtin[i]);
	return result;
}

void driver_exit(void)
{
	struct list_head *node;

	while ((node = list_pop(&drivers)))
		driver_put(&container_of(node, struct driver, link)->driver);
	device_unregister_all();
}
