/* SPDX-License-Identifier: BSD-2-Clause */
/* What modules export to each other and import, with modules that no file is behind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "server/block/error.h"
#include "server/module/license.h"
#include "server/module/module.h"
#include "server/module/module_link.h"
#include "server/module/module_names.h"
#include "server/module/symbol.h"
#include "tests/unit/unit.h"

static struct list_head modules = LIST_HEAD_INIT(modules);
static struct module_names unknown;
static struct platter_error error;
static struct module made[8];
static size_t made_count;

/* A module whose file says all this of it, SYMBOLS separated by blanks. */
static struct module *module(const char *name, const char *license, const char *symbols)
{
	struct module *module = &made[made_count++];
	char text[256];
	int length = snprintf(text, sizeof(text), "name=%s%clicense=%s%c%s", name, 0, license, 0, symbols);

	assert_in_range(made_count, 1, COUNT(made));
	for (char *at = text + length - strlen(symbols); at < text + length; at++)
		if (*at == ' ')
			*at = '\0';
	*module = (struct module){ .gpl_compatible = license_is_gpl_compatible(license) };
	assert_int_equal(module_info_parse(&module->info, name, text, (size_t)length + 1, &error), 0);
	return module;
}

/* One that was loaded. */
static struct module *live(const char *name, const char *license, const char *symbols)
{
	struct module *loaded = module(name, license, symbols);

	loaded->state = MODULE_LIVE;
	list_add_tail(&loaded->link, &modules);
	return loaded;
}

static int check(struct module *module)
{
	module_names_free(&unknown);
	free(module->uses);
	error.text[0] = '\0';
	return module_link_check(module, &modules, &unknown, &error);
}

/* MODULE is refused with RESULT, by a message that has TEXT; nothing that was there before is used by it, or different. */
static void refused(struct module *module, int result, const char *text)
{
	unsigned users = 0, before = 0;
	struct list_head *node;

	list_for_each(node, &modules)
		before += container_of(node, struct module, link)->users;
	assert_int_equal(check(module), result);
	assert_says(error.text, text);
	assert_null(module->uses[0]);
	list_for_each(node, &modules) {
		assert_ptr_not_equal(container_of(node, struct module, link), module);
		users += container_of(node, struct module, link)->users;
	}
	assert_int_equal(users, before);
}

static int end(void **state)
{
	(void)state;
	list_init(&modules);
	for (; made_count > 0; made_count--) {
		module_info_free(&made[made_count - 1].info);
		free(made[made_count - 1].uses);
	}
	module_names_free(&unknown);
	return 0;
}

static void test_using_a_symbol_is_a_use_of_its_module(void **state)
{
	struct module *lib = live("lib", "MIT", "export=one@1 export_gpl=two@7");
	struct module *other = live("other", "MIT", "export=three@1");
	struct module *first = module("first", "MIT", "import=one@1 import=three@1 import=two@7");
	struct module *second = module("second", "MIT", "import=two@7");

	(void)state;
	assert_int_equal(check(first), 0);
	assert_int_equal(check(second), 0);
	assert_int_equal(unknown.count, 0);
	/* Once each, however many of the symbols. */
	assert_ptr_equal(first->uses[0], lib);
	assert_ptr_equal(first->uses[1], other);
	assert_null(first->uses[2]);
	assert_int_equal(lib->users, 2);
	assert_int_equal(other->users, 1);
	module_link_drop(first);
	assert_int_equal(lib->users, 1);
	assert_int_equal(other->users, 0);
	module_link_drop(first);
	module_link_drop(second);
	assert_int_equal(lib->users, 0);
	/* One that was never checked has nothing to give back. */
	module_link_drop(lib);
}

static void test_all_unknown_symbols_are_told(void **state)
{
	struct module *lib = live("lib", "MIT", "export=one@1");
	struct module *user = module("user", "MIT", "import=lost@1 import=one@1 export=mine@1 import=gone@1 import=platter_log@1");
	char text[128];

	(void)state;
	assert_int_equal(check(user), 0);
	/* The daemon's own functions aren't imported but called. */
	assert_string_equal(module_names_join(text, sizeof(text), &unknown, " (err -2)"),
			    "lost (err -2), gone (err -2), platter_log (err -2)");
	module_link_drop(user);
	assert_int_equal(lib->users, 0);
}

static void test_another_version_is_refused_by_name(void **state)
{
	(void)state;
	live("lib", "MIT", "export=one@1 export=two@2.1");
	refused(module("user", "MIT", "import=one@1 import=two@2"), -EINVAL,
		"user: was built for version 2 of the symbol two; lib has version 2.1");
}

static void test_licenses(void **state)
{
	static const char *const compatible[] = {
		"GPL", "GPL v2", "GPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0-or-later", "LGPL", "Dual BSD/GPL",
		"Dual MIT/GPL", "BSD-2-Clause", "BSD-3-Clause", "MIT", "ISC", "MPL-2.0",
	};
	static const char *const others[] = { "Proprietary", "", "gpl", "GPL ", "GPL-2.0-or-late" };

	(void)state;
	for (size_t i = 0; i < COUNT(compatible); i++) {
		assert_true(license_is_free(compatible[i]));
		assert_true(license_is_gpl_compatible(compatible[i]));
	}
	for (size_t i = 0; i < COUNT(others); i++) {
		assert_false(license_is_free(others[i]));
		assert_false(license_is_gpl_compatible(others[i]));
	}
	assert_true(license_is_free("Apache-2.0"));
	assert_false(license_is_gpl_compatible("Apache-2.0"));
}

static void test_symbols_for_the_gpl_are_for_compatible_licenses(void **state)
{
	struct module *lib = live("lib", "Proprietary", "export=all@1 export_gpl=gpl@1");

	(void)state;
	refused(module("user", "Apache-2.0", "import=all@1 import=gpl@1"), -EACCES,
		"user: the symbol gpl of lib is for GPL-compatible modules only, its license is Apache-2.0");
	assert_int_equal(check(module("modest", "Proprietary", "import=all@1")), 0);
	assert_int_equal(check(module("user", "Dual BSD/GPL", "import=all@1 import=gpl@1")), 0);
	assert_int_equal(lib->users, 2);
}

static void test_a_symbol_is_exported_once(void **state)
{
	(void)state;
	live("lib", "MIT", "export=one@1 export=two@1");
	refused(module("other", "MIT", "import=one@1 export=new@1 export=two@2"), -EEXIST,
		"other: exports the symbol two, which lib exports already");
}

/* One that is on its way offers nothing; but its names are taken. */
static void test_only_what_is_live_can_be_used(void **state)
{
	struct module *lib = live("lib", "MIT", "export=one@1");
	struct module *user = module("user", "MIT", "import=one@1");
	struct module *other = module("other", "MIT", "export=one@1");

	(void)state;
	lib->state = MODULE_LOADING;
	refused(user, -EBUSY, "user: lib, which exports one, is being loaded");
	refused(other, -EEXIST, "lib exports already");
	lib->state = MODULE_UNLOADING;
	refused(user, -EBUSY, "user: lib, which exports one, is being unloaded");
	refused(other, -EEXIST, "lib exports already");
}

static void first_function(void)
{
}

static void second_function(void)
{
}

static void test_imports_are_bound_to_what_is_used(void **state)
{
	static const struct platter_export lib_exports[] = { { "one", "1", first_function, 0, 0 } };
	static const struct platter_export other_exports[] = { { "two", "1", first_function, 0, 0 }, { "three", "4", second_function, 1, 0 } };
	static const struct platter_module lib_descriptor = { .exports = lib_exports, .exports_end = lib_exports + 1 };
	static const struct platter_module other_descriptor = { .exports = other_exports, .exports_end = other_exports + 2 };
	char name[] = "user";
	void (*three)(void) = NULL, (*one)(void) = NULL, (*hidden)(void) = NULL;
	const struct platter_import imports[] = { { "three", "4", &three }, { "one", "1", &one }, { "one", "2", &hidden } };
	struct platter_module descriptor = { .imports = imports, .imports_end = imports + 2 };
	struct module lib = { .descriptor = &lib_descriptor }, other = { .descriptor = &other_descriptor };
	struct module none = { .descriptor = &(const struct platter_module){ .size = sizeof(struct platter_module) } };
	struct module user = { .info.name = name, .descriptor = &descriptor,
			       .uses = (struct module *[]){ &none, &lib, &other, NULL } };

	(void)state;
	assert_int_equal(module_link_bind(&user, &error), 0);
	assert_ptr_equal(three, second_function);
	assert_ptr_equal(one, first_function);
	/* Its file said less than it does. */
	descriptor.imports_end++;
	assert_int_equal(module_link_bind(&user, &error), -ENOEXEC);
	assert_string_equal(error.text, "user: imports the symbol one, of which its description says nothing");
	assert_null(hidden);
	user.uses[1] = NULL;
	assert_int_equal(module_link_bind(&user, &error), -ENOEXEC);
	/* Most modules import nothing. */
	user.descriptor = none.descriptor;
	assert_int_equal(module_link_bind(&user, &error), 0);
}

static void test_the_host_s_symbols_are_in_order_and_found(void **state)
{
	const struct symbol *symbol, *before = NULL;

	(void)state;
	for (size_t i = 0; (symbol = symbol_host(i)); i++, before = symbol) {
		assert_non_null(symbol->address);
		assert_true(symbol_is_host(NULL, symbol->name));
		assert_true(!before || strcmp(before->name, symbol->name) < 0);
	}
	assert_non_null(before);
	assert_false(symbol_is_host(NULL, "platter_"));
	assert_false(symbol_is_host(NULL, "main"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_using_a_symbol_is_a_use_of_its_module, end),
		cmocka_unit_test_teardown(test_all_unknown_symbols_are_told, end),
		cmocka_unit_test_teardown(test_another_version_is_refused_by_name, end),
		cmocka_unit_test(test_licenses),
		cmocka_unit_test_teardown(test_symbols_for_the_gpl_are_for_compatible_licenses, end),
		cmocka_unit_test_teardown(test_a_symbol_is_exported_once, end),
		cmocka_unit_test_teardown(test_only_what_is_live_can_be_used, end),
		cmocka_unit_test(test_imports_are_bound_to_what_is_used),
		cmocka_unit_test(test_the_host_s_symbols_are_in_order_and_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
