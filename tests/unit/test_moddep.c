/* SPDX-License-Identifier: BSD-2-Clause */
/* Which module needs which, depmod's files, and what modprobe makes of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/block/error.h"
#include "server/module/modconf.h"
#include "server/module/moddep.h"
#include "server/module/modindex.h"
#include "server/module/modplan.h"
#include "tests/unit/directory.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* As in the test of kmod's own depmod that these expectations come from. */
static const struct moddep_module five[] = {
	{ .name = "a", .path = "a.so", .imports = LIST("b1", "d1", "b2", "b1"), .softdeps = LIST("s") },
	{ .name = "b", .path = "x/b.so", .imports = LIST("c1"), .exports = LIST("b1", "b2"), .aliases = LIST("foo", "b:*") },
	{ .name = "c", .path = "c.so", .exports = LIST("c1") },
	{ .name = "d", .path = "d.so", .imports = LIST("c1", "d1"), .exports = LIST("d1") },
	{ .name = "my_s", .path = "my-s.so", .aliases = LIST("s"), .softdeps = LIST("nobody  d ", "") },
};

static struct moddep *made(const struct moddep_module *modules, size_t count)
{
	struct platter_error error = { "" };
	struct moddep *dep;

	if (moddep_new(modules, count, &dep, &error) < 0)
		fail_msg("%s", error.text);
	return dep;
}

static void comes_after(const struct moddep *dep, size_t module, const char *const *names)
{
	const struct moddep_module *before;
	size_t i = 0;

	for (; names && names[i]; i++) {
		before = moddep_before(dep, module, i);
		if (!before)
			fail_msg("nothing where %s should be", names[i]);
		else
			assert_string_equal(before->name, names[i]);
	}
	assert_null(moddep_before(dep, module, i));
}

static void test_dependencies_come_first(void **state)
{
	struct moddep *dep = made(five, COUNT(five));

	(void)state;
	comes_after(dep, 0, LIST("c", "b", "d"));
	comes_after(dep, 1, LIST("c"));
	comes_after(dep, 2, NULL);
	comes_after(dep, 3, LIST("c"));
	comes_after(dep, 4, NULL);
	assert_null(moddep_warning(dep, 0));
	moddep_free(dep);
	dep = made(NULL, 0);
	moddep_free(dep);
}

static void fails(const struct moddep_module *modules, size_t count, int result, const char *expected)
{
	struct platter_error error = { "" };
	struct moddep *dep = NULL;

	assert_int_equal(moddep_new(modules, count, &dep, &error), result);
	assert_says(error.text, expected);
}

static void test_cycles_are_named(void **state)
{
	const struct moddep_module two[] = {
		{ .name = "a", .path = "a.so", .imports = LIST("b"), .exports = LIST("a") },
		{ .name = "b", .path = "b.so", .imports = LIST("a"), .exports = LIST("b") },
	};
	const struct moddep_module tail[] = {
		{ .name = "w", .path = "w.so", .imports = LIST("x") },
		{ .name = "x", .path = "x.so", .imports = LIST("y"), .exports = LIST("x") },
		{ .name = "y", .path = "y.so", .imports = LIST("z"), .exports = LIST("y") },
		{ .name = "z", .path = "z.so", .imports = LIST("x"), .exports = LIST("z") },
	};

	(void)state;
	fails(two, 2, -ELOOP, "none of them can be loaded: a -> b -> a");
	fails(tail, 4, -ELOOP, "loaded: x -> y -> z -> x");
}

/* Hundreds in a row, and a cycle of them all, which no message holds. */
static void test_long_chains(void **state)
{
	enum { MANY = 500 };
	static char names[MANY][8], paths[MANY][16];
	static const char *lists[MANY][2];
	static struct moddep_module modules[MANY];
	struct moddep *dep;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "m%zu", i);
		snprintf(paths[i], sizeof(paths[i]), "m%zu.so", i);
		lists[i][0] = names[i];
	}
	for (size_t i = 0; i < MANY; i++) {
		modules[i] = (struct moddep_module){ .name = names[i], .path = paths[i], .exports = lists[i] };
		modules[i].imports = i + 1 < MANY ? lists[i + 1] : NULL;
	}
	dep = made(modules, MANY);
	assert_string_equal(moddep_before(dep, 0, 0)->name, "m499");
	assert_string_equal(moddep_before(dep, 0, 498)->name, "m1");
	assert_null(moddep_before(dep, 0, 499));
	moddep_free(dep);
	modules[MANY - 1].imports = lists[0];
	fails(modules, MANY, -ELOOP, "m0 -> m1 -> m2");
}

static void test_unknown_and_double_symbols_are_warned_of(void **state)
{
	const struct moddep_module modules[] = {
		{ .name = "a", .path = "a.so", .imports = LIST("gone", "twice", "gone", "lost") },
		{ .name = "b", .path = "b.so", .exports = LIST("twice", "once", "once") },
		{ .name = "c", .path = "c.so", .exports = LIST("twice") },
	};
	struct moddep *dep = made(modules, 3);

	(void)state;
	assert_string_equal(moddep_warning(dep, 0), "twice: the symbol is exported by both b.so and c.so: only one of them can be loaded");
	assert_string_equal(moddep_warning(dep, 1), "a.so needs the unknown symbol gone: no module exports it");
	assert_string_equal(moddep_warning(dep, 2), "a.so needs the unknown symbol lost: no module exports it");
	assert_null(moddep_warning(dep, 3));
	comes_after(dep, 0, LIST("b"));
	moddep_free(dep);
}

static void test_what_no_index_can_hold_is_refused(void **state)
{
	static const char *const paths[] = { "/a.so", "../a.so", "x/../a.so", "./a.so", "x//a.so", "a.so/", "a", "a.ko", ".so", "x/.so",
					     "b b/a.so", "a:a.so", "#/a.so", "x\n/a.so", "x\\/a.so", "a.b.so", "", "\"/a.so" };
	static const char *const aliases[] = { "", "a b", "a\nload evil", "a[b", "\"a\"" };
	static const char *const softdeps[] = { "a\nload evil", "pre: a", "a post:", "\"a", "a\\", "a:\tb" };
	struct moddep_module module = { .name = "a" };
	const struct moddep_module doubles[] = { { .name = "a_b", .path = "x/a_b.so" }, { .name = "a-b", .path = "a-b.so" } };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		module.path = paths[i];
		fails(&module, 1, -EINVAL, "no path for an index");
	}
	module.path = "b.so";
	fails(&module, 1, -EINVAL, "b.so: the module in it is named 'a'");
	module.path = "a.so";
	for (size_t i = 0; i < COUNT(aliases); i++) {
		module.aliases = LIST(aliases[i]);
		fails(&module, 1, -EINVAL, "a.so: the alias '");
	}
	module.aliases = NULL;
	for (size_t i = 0; i < COUNT(softdeps); i++) {
		module.softdeps = LIST(softdeps[i]);
		fails(&module, 1, -EINVAL, "a.so: the soft dependency '");
	}
	fails(doubles, 2, -EEXIST, "x/a_b.so and a-b.so: two modules of the same name");
}

static void write_five(void)
{
	struct moddep *dep = made(five, COUNT(five));
	struct platter_error error = { "" };

	if (modindex_write(directory_name(), dep, &error) < 0)
		fail_msg("%s", error.text);
	moddep_free(dep);
}

static void has(const char *name, const char *expected)
{
	char text[1024] = "";
	FILE *file = fopen(directory_path(name), "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(text, expected);
}

/* No file is there but perhaps the three, not even a temporary one. */
static void nothing_else_is_there(void)
{
	unlink(directory_path("modules.dep"));
	unlink(directory_path("modules.alias"));
	unlink(directory_path("modules.softdep"));
	assert_int_equal(rmdir(directory_name()), 0);
}

static void test_files_are_kmods(void **state)
{
	struct stat status;

	(void)state;
	write_five();
	has("modules.dep", "a.so: d.so x/b.so c.so\nx/b.so: c.so\nc.so:\nd.so: c.so\nmy-s.so:\n");
	has("modules.alias", "# Aliases extracted from modules themselves.\nalias foo b\nalias b:* b\nalias s my_s\n");
	has("modules.softdep", "# Soft dependencies extracted from modules themselves.\n"
			       "softdep a pre: s\nsoftdep my_s pre: nobody  d \nsoftdep my_s pre: \n");
	assert_int_equal(stat(directory_path("modules.dep"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0644);
	nothing_else_is_there();
}

/* What cannot be written leaves neither a half file nor a temporary one. */
static void test_failing_writes_leave_nothing(void **state)
{
	struct moddep *dep = made(five, COUNT(five));
	struct platter_error error = { "" };

	(void)state;
	assert_int_equal(mkdir(directory_path("modules.dep"), 0700), 0);
	assert_int_equal(modindex_write(directory_name(), dep, &error), -EISDIR);
	assert_non_null(strstr(error.text, directory_path("modules.dep: cannot be written: Is a directory")));
	assert_int_equal(rmdir(directory_path("modules.dep")), 0);
	assert_int_equal(modindex_write(directory_path("none"), dep, &error), -ENOENT);
	nothing_else_is_there();
	moddep_free(dep);
}

static struct modindex *read_index(void)
{
	struct platter_error error = { "" };
	struct modindex *index;

	if (modindex_read(directory_name(), &index, &error) < 0)
		fail_msg("%s", error.text);
	return index;
}

static void test_what_was_written_is_read(void **state)
{
	struct modindex *index;

	(void)state;
	write_five();
	index = read_index();
	assert_string_equal(modindex_path(index, "b"), "x/b.so");
	assert_string_equal(modindex_path(index, "my-s"), "my-s.so");
	assert_string_equal(modindex_name(index, "my-s"), "my_s");
	assert_null(modindex_path(index, "x"));
	assert_string_equal(modindex_before(index, "a", 0), "c");
	assert_string_equal(modindex_before(index, "a", 1), "b");
	assert_string_equal(modindex_before(index, "a", 2), "d");
	assert_null(modindex_before(index, "a", 3));
	assert_null(modindex_before(index, "x", 0));
	modindex_free(index);
}

static void test_files_that_are_missing_or_wrong(void **state)
{
	struct platter_error error = { "" };
	struct modindex *index;

	(void)state;
	assert_int_equal(modindex_read(directory_name(), &index, &error), -ENOENT);
	assert_non_null(strstr(error.text, directory_path("modules.dep: no such file: run depmod")));
	directory_write_text("modules.dep", "a.so:\n");
	modindex_free(read_index());
	directory_write_text("modules.alias", "alias x\n");
	assert_int_equal(modindex_read(directory_name(), &index, &error), -EINVAL);
	assert_non_null(strstr(error.text, directory_path("modules.alias:1: ")));
}

static void test_wrong_lines_are_named(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "a.so:\nb.so\n", "dep:2: 'b.so': a colon is missing" },
		{ "/a.so:\n", "dep:1: '/a.so' isn't the relative path" },
		{ "x/../a.so:\n", "isn't the relative path" },
		{ "a.so :\n", "'a.so ' isn't the relative path" },
		{ ":\n", "'' isn't the relative path" },
		{ "a.ko:\n", "'a.ko' isn't" },
		{ "a.so:\n\nx/a.so:\n", "dep:3: the module a has a second line" },
		{ "a.so: b.so\n", "dep:1: a.so needs 'b.so', which has no line of its own" },
		{ "a.so: \"b.so\nb.so:\n", "dep:1: a.so needs 'b.so', which has no" },
		{ "a.so: a.so\n", "dep:1: a.so needs itself" },
		{ "a.so: b.so b.so\nb.so:\n", "dep:1: b.so stands there twice" },
		{ "b.so: c.so\nc.so:\na.so: b.so\n", "dep:3: c.so isn't behind b.so, which needs it" },
		{ "b.so: c.so\nc.so:\na.so: c.so b.so\n", "dep:3: c.so isn't behind b.so" },
		{ "a.so: b.so\nb.so: a.so\n", "dep:1: a.so isn't behind b.so" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct platter_error error = { "" };
		struct modindex *index = NULL;

		assert_int_equal(modindex_parse("dep", cases[i].text, &index, &error), -EINVAL);
		assert_says(error.text, cases[i].expected);
	}
}

static void resolves(const struct modindex *index, const char *text, const char *name, const char *const *modules)
{
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };
	size_t i = 0;

	assert_int_equal(modconf_parse(conf, "conf", text, &error), 0);
	for (; modules && modules[i]; i++) {
		if (!modindex_resolve(index, conf, name, i))
			fail_msg("%s: nothing where %s should be", name, modules[i]);
		assert_string_equal(modindex_resolve(index, conf, name, i), modules[i]);
	}
	assert_null(modindex_resolve(index, conf, name, i));
	modconf_free(conf);
}

/* All as modprobe 30 did it with such files. */
static void test_names_are_resolved_as_by_modprobe(void **state)
{
	struct modindex *index;

	(void)state;
	write_five();
	index = read_index();
	resolves(index, "", "my-s", LIST("my_s"));
	resolves(index, "", "foo", LIST("b"));
	resolves(index, "", "b:anything", LIST("b"));
	resolves(index, "", "nobody", NULL);
	resolves(index, "alias foo c\nalias fo* d", "foo", LIST("c", "d"));
	resolves(index, "alias c d", "c", LIST("d"));
	resolves(index, "alias x y\nalias y d", "x", LIST("y"));
	resolves(index, "blacklist b", "foo", NULL);
	resolves(index, "blacklist b", "b", LIST("b"));
	resolves(index, "alias foo d\nblacklist d", "foo", NULL);
	modindex_free(index);
}

/* PLAN: the modules in order, those that aren't required behind a '?'. */
static void plans(const struct modindex *index, const char *text, const char *module, const char *expected)
{
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };
	struct modplan *plan;
	char steps[200] = "";

	assert_int_equal(modconf_parse(conf, "conf", text, &error), 0);
	if (modplan_new(index, conf, module, &plan, &error) < 0)
		fail_msg("%s", error.text);
	for (size_t i = 0; i < plan->count; i++) {
		size_t used = strlen(steps);

		snprintf(steps + used, sizeof(steps) - used, "%s%s%s", i ? " " : "", plan->steps[i].required ? "" : "?",
			 plan->steps[i].module);
		assert_string_equal(plan->steps[i].path, modindex_path(index, plan->steps[i].module));
	}
	assert_string_equal(steps, expected);
	modplan_free(plan);
	modconf_free(conf);
}

static void test_plans(void **state)
{
	struct platter_error error = { "" };
	struct modplan *plan;
	struct modindex *index;

	(void)state;
	write_five();
	index = read_index();
	plans(index, "", "c", "c");
	plans(index, "", "b", "c b");
	/* a wants s, which is my-s, which wants nobody, who isn't there, and d. */
	plans(index, "", "a", "c d ?my_s b a");
	plans(index, "", "my-s", "?c ?d my_s");
	plans(index, "softdep b pre: d post: my-s nobody", "b", "c ?d b ?my_s");
	plans(index, "softdep c post: b", "c", "c ?b");
	/* Those that would have to come before what they need don't. */
	plans(index, "softdep c pre: b", "c", "c");
	plans(index, "softdep c pre: a post: d", "b", "c ?d b");
	plans(index, "softdep b pre: my_s\nsoftdep my_s pre: b", "b", "c ?d ?my_s b");
	/* One that is wanted first, and needed anyway. */
	plans(index, "softdep b pre: c\nblacklist c", "b", "c b");
	assert_int_equal(modplan_new(index, modindex_conf(index), "foo", &plan, &error), -ENOENT);
	assert_non_null(strstr(error.text, "foo: there is no such module"));
	modindex_free(index);
}

/* Whether each that MODULE needs stands before it. */
static void check_order(const struct modindex *index, const struct modplan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const char *needed;

		for (size_t j = 0; (needed = modindex_before(index, plan->steps[i].module, j)); j++) {
			size_t at = 0;

			while (at < i && plan->steps[at].module != needed)
				at++;
			assert_true(at < i);
		}
	}
}

/* Whatever soft dependencies there are: nothing is planned before what it needs, nor twice, and all comes to an end. */
static void test_any_soft_dependencies(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "my_s" };
	uint64_t random = mutate_seed();
	struct modindex *index;

	(void)state;
	write_five();
	index = read_index();
	for (size_t i = 0; i < 5000; i++) {
		struct modconf *conf = modconf_new();
		struct platter_error error = { "" };
		struct modplan *plan;
		char line[80];

		for (size_t j = mutate_random(&random) % 10; j > 0; j--) {
			snprintf(line, sizeof(line), "softdep %s %s: %s", names[mutate_random(&random) % 5],
				 mutate_random(&random) % 2 ? "pre" : "post", names[mutate_random(&random) % 5]);
			assert_int_equal(modconf_parse(conf, "conf", line, &error), 0);
		}
		assert_int_equal(modplan_new(index, conf, names[i % 5], &plan, &error), 0);
		assert_in_range(plan->count, 1, 5);
		check_order(index, plan);
		modplan_free(plan);
		modconf_free(conf);
	}
	modindex_free(index);
}

static void test_spoiled_indexes_do_no_harm(void **state)
{
	static const char text[] = "a.so: d.so x/b.so c.so\nx/b.so: c.so\nc.so:\nd.so: c.so\nmy-s.so:\n";
	uint64_t random = mutate_seed();
	struct modconf *conf = modconf_new();
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		struct platter_error error = { "" };
		char *spoiled = mutate(text, &random);
		struct modindex *index;
		struct modplan *plan;

		assert_non_null(spoiled);
		if (modindex_parse("dep", spoiled, &index, &error) < 0) {
			assert_memory_equal(error.text, "dep:", 4);
			refused++;
		} else {
			if (modplan_new(index, conf, "a", &plan, &error) == 0) {
				check_order(index, plan);
				modplan_free(plan);
			}
			modindex_free(index);
		}
		free(spoiled);
	}
	assert_in_range(refused, 1000, 19900);
	modconf_free(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dependencies_come_first),
		cmocka_unit_test(test_cycles_are_named),
		cmocka_unit_test(test_long_chains),
		cmocka_unit_test(test_unknown_and_double_symbols_are_warned_of),
		cmocka_unit_test(test_what_no_index_can_hold_is_refused),
		cmocka_unit_test_setup_teardown(test_files_are_kmods, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_failing_writes_leave_nothing, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_what_was_written_is_read, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_files_that_are_missing_or_wrong, directory_setup, directory_teardown),
		cmocka_unit_test(test_wrong_lines_are_named),
		cmocka_unit_test_setup_teardown(test_names_are_resolved_as_by_modprobe, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_plans, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_any_soft_dependencies, directory_setup, directory_teardown),
		cmocka_unit_test(test_spoiled_indexes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
