/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/module/module_symbols.h"
#include "tests/unit/directory.h"
#include "tests/unit/module_fixture.h"
#include "tests/unit/unit.h"

static bool host_has(void *context, const char *name)
{
	(*(unsigned *)context)++;
	return strcmp(name, "platter_log") == 0;
}

/* The result of looking the symbols of the module at PATH up, with what was unknown and why. */
static int look_up(const char *path, bool read, struct module_names *unknown, struct platter_error *error)
{
	struct fixture fixture;
	unsigned asked = 0;
	int result;

	*unknown = (struct module_names){ 0 };
	*error = (struct platter_error){ "" };
	fixture_open(&fixture, path);
	assert_string_equal(fixture.error.text, "");
	result = module_symbols_check(&fixture.file, &fixture.info, read, host_has, &asked, unknown, error);
	fixture_close(&fixture);
	assert_true((result < 0) == (error->text[0] != '\0'));
	return result;
}

static int symbols(const char *path, struct module_names *unknown, struct platter_error *error)
{
	return look_up(path, false, unknown, error);
}

static void test_known_symbols_are_found(void **state)
{
	struct module_names unknown;
	struct platter_error error;

	(void)state;
	assert_int_equal(symbols(fixture_module("known.so", "#include <stdio.h>\n#include <string.h>\n"
						"extern int missing(void) __attribute__((weak));\n"
						"int use(const char *a) { platter_log(PLATTER_LOG_INFO, a); printf(a); return missing ? 1 : strlen(a); }",
						""), &unknown, &error), 0);
	/* Without versions, and without a library that is named: the C library is there all the same. */
	assert_int_equal(symbols(fixture_module("bare.so", "int puts(const char *); int use(const char *a) { return puts(a); }",
						"-nostdlib"), &unknown, &error), 0);
	/* What ld.so itself has, and a library that isn't loaded yet. */
	assert_int_equal(symbols(fixture_module("thread.so", "__thread int local; int *use(void) { return &local; }", ""), &unknown,
				 &error), 0);
	assert_int_equal(symbols(fixture_module("math.so", "double cbrt(double); double use(double a) { return cbrt(a); }", "-lm"), &unknown,
				 &error), 0);
	assert_int_equal(unknown.count, 0);
}

/* The runtime of the address sanitizer ends a process that loads it late. */
static void test_sanitized_modules_are_for_sanitized_servers(void **state)
{
	struct module_names unknown;
	struct platter_error error;
	int result = symbols(fixture_module("sanitized.so", "", "-fsanitize=address"), &unknown, &error);

	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	assert_int_equal(result, 0);
#else
	assert_int_equal(result, -ENOENT);
	assert_non_null(strstr(error.text, "__asan_init (err -2)"));
#endif
	module_names_free(&unknown);
}

static void test_all_unknown_symbols_are_named(void **state)
{
	struct module_names unknown;
	struct platter_error error;
	char more[8192], *message;
	size_t used = 0;

	(void)state;
	assert_int_equal(symbols(fixture_module("unknown.so", "int platter_foo(void), platter_bar(void), json_dumps(void), puts();\n"
						"int use(void) { return platter_foo() + platter_bar() + json_dumps() + puts(\"\"); }",
						""), &unknown, &error), -ENOENT);
	assert_int_equal(unknown.count, 3);
	assert_memory_equal(error.text, "module_example: Unknown symbol ", 31);
	assert_non_null(strstr(error.text, "platter_foo (err -2)"));
	assert_non_null(strstr(error.text, "platter_bar (err -2)"));
	assert_non_null(strstr(error.text, "json_dumps (err -2)")); /* this program has it, the module didn't ask for it */
	module_names_free(&unknown);

	for (unsigned i = 0; i < 60; i++)
		used += (size_t)snprintf(more + used, sizeof(more) - used, "int platter_missing_%u(void);\nint use%u(void) "
					 "{ return platter_missing_%u(); }\n", i, i, i);
	assert_int_equal(symbols(fixture_module("many.so", more, ""), &unknown, &error), -ENOENT);
	assert_int_equal(unknown.count, 60);
	assert_non_null(strstr(error.text, " (err -2) and "));
	assert_non_null(strstr(error.text, " more"));
	message = module_symbols_message("many", &unknown);
	assert_non_null(message);
	assert_memory_equal(message, "many: Unknown symbol platter_missing_", 37);
	used = 0;
	for (const char *at = message; (at = strstr(at, "platter_missing_")); at++)
		used++;
	assert_int_equal(used, 60);
	assert_null(strstr(message, "more"));
	free(message);
	module_names_free(&unknown);
}

static void test_a_message_of_names_ends_somewhere(void **state)
{
	struct module_names names = { 0 };
	char name[200], *message;
	size_t next;

	(void)state;
	memset(name, 'x', sizeof(name));
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(module_names_add(&names, name, sizeof(name)), 0);
	message = module_symbols_message("many", &names);
	assert_in_range(strlen(message), 65000, 66000);
	assert_non_null(strstr(message, "(err -2) and 526 more"));
	free(message);
	/* The next part begins where the last one ended. */
	assert_int_equal(module_names_fill(name, sizeof(name), &names, 0, ""), 1);
	assert_int_equal(module_names_fill(name, 10, &names, 0, ""), 0);
	assert_string_equal(name, "");
	for (size_t from = 0; from < names.count; from = next) {
		char part[1000];

		next = module_names_fill(part, sizeof(part), &names, from, " (err -2)");
		assert_in_range(next, from + 1, names.count);
		assert_in_range(strlen(part), 1, sizeof(part) - 1);
	}
	module_names_free(&names);
}

static void test_libraries_that_are_not_loaded_are_read_and_not_run(void **state)
{
	static const char use[] = "int theirs(void), theirs_2(void), theirs_3(void);\n"
				  "int use(void) { return theirs() + theirs_2() + theirs_3(); }";
	struct module_names unknown;
	struct platter_error error;
	char source[512], library[128], outer[256];

	(void)state;
	snprintf(library, sizeof(library), "%s", fixture_compile("libtheirs.so", "#include <stdlib.h>\nint theirs(void) { return 1; }\n"
		"__attribute__((constructor)) static void start(void) { setenv(\"FIXTURE_RAN\", \"1\", 1); }\n", "-shared"));
	/* What a library may have is left to ld.so, but when others are unknown, all are named. */
	snprintf(source, sizeof(source), "%s int platter_foo(void); int use_2(void) { return platter_foo(); }", use);
	assert_int_equal(symbols(fixture_module("both.so", source, library), &unknown, &error), -ENOENT);
	assert_int_equal(unknown.count, 3);
	assert_non_null(strstr(error.text, "platter_foo (err -2)"));
	assert_non_null(strstr(error.text, "theirs_2 (err -2)"));
	assert_non_null(strstr(error.text, "theirs_3 (err -2)"));
	module_names_free(&unknown);
	assert_int_equal(symbols(fixture_module("theirs.so", use, library), &unknown, &error), 0);

	assert_int_equal(look_up(directory_path("theirs.so"), true, &unknown, &error), -ENOENT);
	assert_int_equal(unknown.count, 2);
	assert_non_null(strstr(error.text, "theirs_2 (err -2)"));
	assert_non_null(strstr(error.text, "theirs_3 (err -2)"));
	module_names_free(&unknown);
	/* What a library needs counts, too. */
	snprintf(outer, sizeof(outer), "-Wl,--no-as-needed -shared %s", library);
	snprintf(outer, sizeof(outer), "-Wl,--no-as-needed %s", fixture_compile("libouter.so", "int outer(void) { return 1; }", outer));
	assert_int_equal(look_up(fixture_module("outer.so", use, outer), true, &unknown, &error), -ENOENT);
	assert_int_equal(unknown.count, 2);
	module_names_free(&unknown);
	/* One that cannot be read may have anything: that is ld.so's affair. */
	assert_int_equal(unlink(library), 0);
	assert_int_equal(look_up(directory_path("outer.so"), true, &unknown, &error), 0);
	assert_int_equal(look_up(directory_path("both.so"), true, &unknown, &error), -ENOENT);
	assert_string_equal(error.text, "module_example: Unknown symbol platter_foo (err -2)");
	module_names_free(&unknown);
	assert_null(getenv("FIXTURE_RAN"));
}

/* By name alone, in the directories that ld.so looks into. */
static void test_libraries_are_found_as_ld_so_does(void **state)
{
	static const char use[] = "double cbrt(double), not_in_libm(double); double use(double a) { return cbrt(a) + not_in_libm(a); }";
	struct module_names unknown;
	struct platter_error error;

	(void)state;
	assert_int_equal(look_up(fixture_module("math.so", use, "-lm"), true, &unknown, &error), -ENOENT);
	assert_string_equal(error.text, "module_example: Unknown symbol not_in_libm (err -2)");
	module_names_free(&unknown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_symbols_are_found),
		cmocka_unit_test(test_sanitized_modules_are_for_sanitized_servers),
		cmocka_unit_test(test_all_unknown_symbols_are_named),
		cmocka_unit_test(test_a_message_of_names_ends_somewhere),
		cmocka_unit_test(test_libraries_that_are_not_loaded_are_read_and_not_run),
		cmocka_unit_test(test_libraries_are_found_as_ld_so_does),
	};

	return cmocka_run_group_tests(tests, fixture_setup, directory_teardown);
}
