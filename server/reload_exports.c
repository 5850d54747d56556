/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/reload_exports.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/admin.h"
#include "server/block/disk.h"
#include "server/block/error.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/config.h"
#include "server/control/event.h"
#include "server/definition.h"
#include "server/engine/pool.h"
#include "server/reactor.h"
#include "server/remarks.h"
#include "server/roster.h"

/* Ten years: as long as it takes. */
#define FOREVER_NS (UINT64_C(315360000) * 1000000000)

/* An export that nobody new finds, and that goes when its clients have gone. */
struct leaving {
	struct pool_job job;
	struct list_head link;  /* in `leavings` */
	char *name;
	bool drains;
	atomic_bool cancelled;  /* it stays after all */
	bool gave_up;           /* its thread's: it saw that */
};

static struct {
	pthread_mutex_t *lock;
	const struct config *config;
	struct pool *pool;
	struct list_head leavings;
	atomic_bool ending;
} state = { .leavings = LIST_HEAD_INIT(state.leavings) };

void reload_exports_init(pthread_mutex_t *lock, const struct config *config, struct pool *pool)
{
	state.lock = lock;
	state.config = config;
	state.pool = pool;
}

void reload_exports_use(const struct config *config)
{
	state.config = config;
}

static const struct definition *wanted(const char *name)
{
	struct list_head *node;

	list_for_each(node, &state.config->exports)
		if (strcmp(container_of(node, struct definition, link)->name, name) == 0)
			return container_of(node, struct definition, link);
	return NULL;
}

/* --- Those that leave */

static struct leaving *find_leaving(const char *name)
{
	struct list_head *node;

	list_for_each(node, &state.leavings)
		if (strcmp(container_of(node, struct leaving, link)->name, name) == 0)
			return container_of(node, struct leaving, link);
	return NULL;
}

/* With the registry's lock held. */
static bool gives_up(void *argument)
{
	struct leaving *leaving = argument;

	leaving->gave_up = atomic_load(&leaving->cancelled) || atomic_load(&state.ending);
	return leaving->gave_up;
}

static void wake_waiting(void)
{
	registry_lock();
	registry_changed();
	registry_unlock();
}

/* NULL is allowed. */
static void leaving_free(struct leaving *leaving)
{
	if (!leaving)
		return;
	list_del_init(&leaving->link);
	free(leaving->name);
	free(leaving);
}

/* It has left, or not. */
static void left(struct leaving *leaving, int result, const struct platter_error *error)
{
	struct list_head remarks = LIST_HEAD_INIT(remarks);

	list_del_init(&leaving->link);
	if (result == 0) {
		event_tell("export-removed", leaving->name);
		remark_add(&remarks, REMARK_REMOVED, leaving->name, "%s", leaving->name);
	} else if (!leaving->gave_up && !atomic_load(&state.ending)) {
		log_error("%s: not removed: %s", leaving->name, error->text);
	}
	/* What is to take its place, or waited for it to go, or what has changed of it that stays. */
	if ((result == 0 || leaving->gave_up) && !atomic_load(&state.ending))
		reload_exports_settle(&remarks);
	remarks_free(&remarks);
}

static void leave_run(struct pool_job *job)
{
	struct leaving *leaving = container_of(job, struct leaving, job);
	const struct patience patience = { .until = clock_ns() + FOREVER_NS, .give_up = gives_up, .argument = leaving };
	struct platter_error error = { "" };
	bool held = reactors_hold();
	int result = held ? admin_remove(leaving->name, &patience, leaving->drains, &error) : -ESHUTDOWN;

	pthread_mutex_lock(state.lock);
	left(leaving, result, &error);
	pthread_mutex_unlock(state.lock);
	if (held)
		reactors_release();
	leaving_free(leaving);
}

static void leave(const struct definition *definition, struct list_head *remarks)
{
	/* What it says by now, if it says something. */
	const struct definition *after = wanted(definition->name);
	struct leaving *leaving = calloc(1, sizeof(*leaving));

	if (leaving) {
		list_init(&leaving->link);
		leaving->name = strdup(definition->name);
	}
	if (!leaving || !leaving->name) {
		leaving_free(leaving);
		remark_add(remarks, REMARK_FAILED, definition->name, "%s: not removed: no memory", definition->name);
		return;
	}
	leaving->drains = (after ? after : definition)->drains;
	leaving->job.run = leave_run;
	list_add_tail(&leaving->link, &state.leavings);
	remark_add(remarks, REMARK_LEAVING, definition->name, "%s", definition->name);
	pool_run(state.pool, &leaving->job);
}

/* --- What becomes of those that there are */

static bool is_there(const char *name)
{
	struct export *export = export_get(name);
	struct disk *disk = export ? NULL : disk_find(name);
	bool is = export || disk;

	export_put(export);
	disk_put(disk);
	return is;
}

/* Whether it is clients who keep it, and not another name that its disk has. */
static bool is_used(const char *name)
{
	struct export *export = export_get(name);
	struct disk *disk = export && strcmp(export->disk->name, name) != 0 ? NULL : disk_find(name);
	bool used = disk ? disk_users(disk) > 0 : export && export->users > 0;

	registry_lock();
	used &= !disk || !export_other(disk, name);
	registry_unlock();
	export_put(export);
	disk_put(disk);
	return used;
}

/* Whether another export of the disk NAME is leaving, after which it is looked at again. */
static bool waits(const char *name)
{
	struct list_head *node;
	bool found = false;

	list_for_each(node, &state.leavings) {
		enum roster_origin origin;
		struct definition *other = roster_find(container_of(node, struct leaving, link)->name, &origin);

		found |= other && definition_stands_on(other, name);
		definition_free(other);
	}
	return found;
}

static void take_away(const struct definition *definition, struct list_head *remarks)
{
	struct platter_error error = { "" };
	int result = admin_remove(definition->name, PATIENCE_NONE, false, &error);

	if (result == 0) {
		remark_add(remarks, REMARK_REMOVED, definition->name, "%s", definition->name);
		event_tell("export-removed", definition->name);
	} else if (result == -EBUSY && waits(definition->name)) {
		remark_add(remarks, REMARK_LEAVING, definition->name, "%s", definition->name);
	} else if (result == -EBUSY && is_used(definition->name)) {
		leave(definition, remarks);
	} else {
		remark_add(remarks, REMARK_FAILED, definition->name, "%s: not removed: %s", definition->name, error.text);
	}
}

/* Whether DEFINITION, one of ALL, may stay: as another one of a disk that stays. */
static bool stays(struct list_head *all, const struct definition *definition)
{
	const struct definition *after = wanted(definition->name);
	struct list_head *node;

	if (!after || !definition_same_disk(definition, after))
		return false;
	list_for_each(node, all) {
		const struct definition *other = container_of(node, struct definition, link);

		if (other != definition && definition_stands_on(definition, other->name) && !stays(all, other))
			return false;
	}
	return true;
}

/* Attributes of a queue that aren't set any more keep their values. */
static void name_kept(const struct definition *before, const struct definition *after, struct list_head *remarks)
{
	struct list_head *node;

	list_for_each(node, &before->keys) {
		const struct definition_key *key = container_of(node, struct definition_key, link);

		if (strncmp(key->name, "queue.", strlen("queue.")) == 0 && !definition_has_key(after, key->name))
			remark_add(remarks, REMARK_RESTART, before->name, "[export %s] %s", before->name, key->name);
	}
}

static void adjust(const struct definition *before, const struct definition *after, struct list_head *remarks)
{
	bool equal = definition_equal(before, after);
	struct platter_error error = { "" };

	name_kept(before, after, remarks);
	/* A file of rules may say something else by now. */
	if ((!equal || definition_has_rule_file(after)) && admin_change(after, &error) < 0) {
		remark_add(remarks, REMARK_FAILED, after->name, "%s: not changed: %s", after->name, error.text);
		return;
	}
	if (!equal)
		remark_add(remarks, REMARK_CHANGED, after->name, "%s", after->name);
	roster_set(after);
}

/* One that there was, among ALL of the configuration's so far. */
static void look_at(struct list_head *all, const struct definition *before, struct list_head *remarks)
{
	struct leaving *leaving = find_leaving(before->name);

	if (leaving) {
		/* When it has left, or stays, it is looked at again. */
		atomic_store(&leaving->cancelled, stays(all, before));
		wake_waiting();
	} else if (!is_there(before->name)) {
		/* Removed by other means, as with its driver. */
		roster_remove(before->name);
	} else if (stays(all, before)) {
		adjust(before, wanted(before->name), remarks);
	} else {
		take_away(before, remarks);
	}
}

/* Whether it is to wait for one that is leaving: for its name, or its disk. */
static bool comes_later(const struct definition *definition)
{
	struct list_head *node;

	list_for_each(node, &state.leavings) {
		const char *name = container_of(node, struct leaving, link)->name;

		if (strcmp(name, definition->name) == 0 || definition_stands_on(definition, name))
			return true;
	}
	return false;
}

static bool is_known(const char *name)
{
	enum roster_origin origin;
	struct definition *there = roster_find(name, &origin);

	definition_free(there);
	return there;
}

static int add(const struct definition *definition, struct list_head *remarks, struct platter_error *error)
{
	char *text = definition_spec(definition);
	int result = text ? admin_add(text, ROSTER_CONFIG, NULL, error) : -ENOMEM;

	free(text);
	if (result < 0)
		return result;
	roster_set(definition);
	remark_add(remarks, REMARK_ADDED, definition->name, "%s", definition->name);
	event_tell("export-added", definition->name);
	return 0;
}

/* Adds what can be had now; whether more might follow: what failed may stand on what came behind it. */
static bool add_some(struct list_head *remarks)
{
	bool some = false, left = false;
	struct list_head *node;

	list_for_each(node, &state.config->exports) {
		const struct definition *definition = container_of(node, struct definition, link);

		if (is_known(definition->name) || comes_later(definition))
			continue;
		if (add(definition, remarks, &(struct platter_error){ "" }) == 0)
			some = true;
		else
			left = true;
	}
	return some && left;
}

/* Tells why what isn't there by now cannot be had. */
static void add_last(const struct definition *definition, struct list_head *remarks)
{
	struct platter_error error = { "" };
	int result = is_known(definition->name) || comes_later(definition) ? 0 : add(definition, remarks, &error);

	if (result < 0)
		remark_add(remarks, REMARK_FAILED, definition->name, "%s: not added: %s", definition->name,
			   *error.text ? error.text : strerror(-result));
}

/* One that others may have asked for. */
static void look_at_wanted(const struct definition *definition, struct list_head *remarks)
{
	enum roster_origin origin = ROSTER_CONFIG;
	struct definition *there = roster_find(definition->name, &origin);

	if (there && origin != ROSTER_CONFIG && !is_there(definition->name)) {
		roster_remove(definition->name);
	} else if (there && origin == ROSTER_HAND) {
		/* An administrator had it already. */
		if (definition_same_disk(there, definition))
			adjust(there, definition, remarks);
		else
			remark_add(remarks, REMARK_FAILED, definition->name, "%s: not added: there is one already, of other data, "
				   "that platterctl added; remove that first", definition->name);
	}
	/* What the command line says counts instead. */
	definition_free(there);
}

void reload_exports_settle(struct list_head *remarks)
{
	struct list_head all = LIST_HEAD_INIT(all), *node;

	/* The newest first: an export of a disk goes before that. */
	roster_configured(&all);
	list_for_each(node, &all)
		look_at(&all, container_of(node, struct definition, link), remarks);
	while ((node = list_pop(&all)))
		definition_free(container_of(node, struct definition, link));
	list_for_each(node, &state.config->exports)
		look_at_wanted(container_of(node, struct definition, link), remarks);
	while (add_some(remarks))
		;
	list_for_each(node, &state.config->exports)
		add_last(container_of(node, struct definition, link), remarks);
}

void reload_exports_stop(void)
{
	atomic_store(&state.ending, true);
	wake_waiting();
}

void reload_exports_free(void)
{
	roster_free();
}
