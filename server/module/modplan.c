/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/modplan.h"

#include <errno.h>
#include <stdlib.h>

#include <platter/driver.h>

#include "server/block/error.h"

/* A module whose turn isn't over; names are the index's, so that equal ones are the same pointer. */
struct visit {
	const char *module;
	const struct visit *outer; /* who waits for it */
};

struct planner {
	const struct modindex *index;
	const struct modconf *conf;
	struct modplan *plan;
};

static int visit_module(struct planner *planner, const char *module, const struct visit *outer);

static bool is_planned(const struct modplan *plan, const char *module)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->steps[i].module == module)
			return true;
	return false;
}

static int add_step(struct planner *planner, const char *module)
{
	struct modplan *plan = planner->plan;
	struct modplan_step *steps = realloc(plan->steps, (plan->count + 1) * sizeof(*steps));

	if (!steps)
		return -ENOMEM;
	plan->steps = steps;
	steps[plan->count++] = (struct modplan_step){ .module = module, .path = modindex_path(planner->index, module) };
	return 0;
}

/* Whether MODULE is being planned, or needs one that is: then it cannot come before that. */
static bool would_wait(const struct planner *planner, const char *module, const struct visit *visits)
{
	const char *needed;

	for (; visits; visits = visits->outer) {
		if (visits->module == module)
			return true;
		for (size_t i = 0; (needed = modindex_before(planner->index, module, i)); i++)
			if (needed == visits->module)
				return true;
	}
	return false;
}

/* Plans the soft dependencies of VISIT's module that SOURCE tells. */
static int visit_soft(struct planner *planner, const struct modconf *source, enum modconf_when when,
		      const struct visit *visit)
{
	const char *name, *module;
	int result = 0;

	for (size_t i = 0; result == 0 && (name = modconf_softdep(source, visit->module, when, i)); i++) {
		for (size_t j = 0; result == 0 && (module = modindex_resolve(planner->index, planner->conf, name, j)); j++) {
			module = modindex_name(planner->index, module);
			/* What comes after may need the module itself, which is planned by then. */
			if (module && !would_wait(planner, module, when == MODCONF_AFTER ? visit->outer : visit))
				result = visit_module(planner, module, when == MODCONF_AFTER ? visit->outer : visit);
		}
	}
	return result;
}

/*
 * Nothing that MODULE needs is among those who wait: would_wait() saw to it
 * for the soft dependency on the way, and what a module needs is all that its
 * own needs need (modindex.c: check_line).  So all it needs comes before it.
 */
static int visit_module(struct planner *planner, const char *module, const struct visit *outer)
{
	const struct modconf *own = modindex_conf(planner->index);
	struct visit visit = { .module = module, .outer = outer };
	const char *needed;
	int result;

	if (is_planned(planner->plan, module))
		return 0;
	result = visit_soft(planner, planner->conf, MODCONF_BEFORE, &visit);
	if (result == 0)
		result = visit_soft(planner, own, MODCONF_BEFORE, &visit);
	for (size_t i = 0; result == 0 && (needed = modindex_before(planner->index, module, i)); i++)
		result = visit_module(planner, needed, &visit);
	if (result == 0)
		result = add_step(planner, module);
	if (result == 0)
		result = visit_soft(planner, planner->conf, MODCONF_AFTER, &visit);
	return result < 0 ? result : visit_soft(planner, own, MODCONF_AFTER, &visit);
}

static void mark_required(struct modplan *plan, const char *module)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->steps[i].module == module)
			plan->steps[i].required = true;
}

int modplan_new(const struct modindex *index, const struct modconf *conf, const char *module, struct modplan **ret,
		struct platter_error *error)
{
	struct planner planner = { .index = index, .conf = conf };
	const char *name = modindex_name(index, module), *needed;
	int result;

	if (!name)
		return platter_fail(error, ENOENT, "%s: there is no such module: is modules.dep up to date (depmod)?", module);
	planner.plan = calloc(1, sizeof(*planner.plan));
	result = planner.plan ? visit_module(&planner, name, NULL) : -ENOMEM;
	if (result < 0) {
		modplan_free(planner.plan);
		return platter_fail(error, -result, "no memory");
	}
	mark_required(planner.plan, name);
	for (size_t i = 0; (needed = modindex_before(index, name, i)); i++)
		mark_required(planner.plan, needed);
	*ret = planner.plan;
	return 0;
}

void modplan_free(struct modplan *plan)
{
	if (!plan)
		return;
	free(plan->steps);
	free(plan);
}
