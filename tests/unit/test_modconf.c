/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration of modules, in modprobe.d's language. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/block/error.h"
#include "server/module/modconf.h"
#include "server/module/modname.h"
#include "tests/unit/directory.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

static struct modconf *parsed(const char *text)
{
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };

	assert_non_null(conf);
	if (modconf_parse(conf, "a.conf", text, &error) < 0)
		fail_msg("%s", error.text);
	return conf;
}

static void same(const char *text, const char *expected)
{
	if (!expected)
		assert_null(text);
	else if (!text)
		fail_msg("nothing where \"%s\" should be", expected);
	else
		assert_string_equal(text, expected);
}

static void test_aliases(void **state)
{
	struct modconf *conf = parsed("alias driver:ram ram-disk\n"
				      "alias driver:ram* other\n"
				      "alias my-name[a-c]? third");

	(void)state;
	same(modconf_alias(conf, "driver:ram", 0), "ram_disk");
	same(modconf_alias(conf, "driver:ram", 1), "other");
	same(modconf_alias(conf, "driver:ram", 2), NULL);
	same(modconf_alias(conf, "driver:ramses", 0), "other");
	same(modconf_alias(conf, "driver", 0), NULL);
	same(modconf_alias(conf, "my-nameb-", 0), "third");
	same(modconf_alias(conf, "my_namec_", 0), "third");
	same(modconf_alias(conf, "my_name-_", 0), NULL);
	modconf_free(conf);
}

static void test_options_of_all_lines_in_order(void **state)
{
	struct modconf *conf = parsed("options delay usecs=5 name=\"a b\" \"title=c  d\"\tquiet\n"
				      "options other usecs=1\n"
				      "options my-delay usecs=8\n"
				      "options delay usecs=6 empty= equals=a=b\n");
	static const char *const expected[] = { "usecs=5", "name=a b", "title=c  d", "quiet", "usecs=6", "empty=", "equals=a=b", NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		same(modconf_option(conf, "delay", i), expected[i]);
	same(modconf_option(conf, "my_delay", 0), "usecs=8");
	same(modconf_option(conf, "my-delay", 0), "usecs=8");
	same(modconf_option(conf, "nobody", 0), NULL);
	modconf_free(conf);
}

static void test_blacklist_softdep_and_load(void **state)
{
	struct modconf *conf = parsed("blacklist bad-one\n"
				      "softdep a pre: b c-d post: driver:e pre: f\n"
				      "softdep a post: g\n"
				      "softdep h pre: post:\n"
				      "load hello\nload my-disk\nload hello\nload my_disk\n");

	(void)state;
	assert_true(modconf_blacklisted(conf, "bad_one"));
	assert_false(modconf_blacklisted(conf, "bad"));
	same(modconf_softdep(conf, "a", MODCONF_BEFORE, 0), "b");
	same(modconf_softdep(conf, "a", MODCONF_BEFORE, 1), "c_d");
	same(modconf_softdep(conf, "a", MODCONF_BEFORE, 2), "f");
	same(modconf_softdep(conf, "a", MODCONF_BEFORE, 3), NULL);
	same(modconf_softdep(conf, "a", MODCONF_AFTER, 0), "driver:e");
	same(modconf_softdep(conf, "a", MODCONF_AFTER, 1), "g");
	same(modconf_softdep(conf, "h", MODCONF_BEFORE, 0), NULL);
	same(modconf_load(conf, 0), "hello");
	same(modconf_load(conf, 1), "my_disk");
	same(modconf_load(conf, 2), NULL);
	modconf_free(conf);
}

static void test_comments_blank_and_continued_lines(void **state)
{
	struct modconf *conf = parsed("# load a\n"
				      "\n   \t\n"
				      "   # load b\n"
				      "# a comment \\\n load c\n"
				      "load \\\n  d\r\n"
				      "options d a=1 \\\n\\\n b=2 \\\r\n c=x\\y\n"
				      "\tload\te\t\r\n"
				      "load f\\");

	(void)state;
	same(modconf_load(conf, 0), "d");
	same(modconf_load(conf, 1), "e");
	same(modconf_load(conf, 2), "f");
	same(modconf_option(conf, "d", 0), "a=1");
	same(modconf_option(conf, "d", 1), "b=2");
	same(modconf_option(conf, "d", 2), "c=x\\y");
	modconf_free(conf);
}

static void test_what_is_wrong_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "load a\nlaod b\n", "a.conf:2: unknown keyword 'laod' (there are: alias, blacklist, load, options, softdep)" },
		{ "\n\\\n\\\nnonsense", "a.conf:2: unknown keyword 'nonsense'" },
		{ "# x \\\n y\nnonsense", "a.conf:3: unknown keyword" },
		{ "\"", "a.conf:1: unknown keyword ''" },
		{ "install a /bin/true", "a.conf:1: install and remove: running commands is not supported" },
		{ "remove a /bin/true", "not supported" },
		{ "alias", "alias: a name and a module are missing" },
		{ "alias a", "alias: a module's name is missing" },
		{ "alias a b c", "alias: 'c' is too much" },
		{ "alias a b # c", "'#' is too much; a comment needs a line of its own" },
		{ "alias a[b c", "a ] is missing in 'a[b'" },
		{ "alias a ../b", "'../b' isn't a module's name" },
		{ "alias a b.so", "'b.so' isn't a module's name" },
		{ "options", "options: a module's name is missing" },
		{ "options a", "options: a parameter is missing" },
		{ "options a =1", "'' isn't a parameter's name" },
		{ "options a b c/d=1", "'c/d' isn't a parameter's name" },
		{ "options a b=\"c d", "a.conf:1: options: a quote isn't closed" },
		{ "alias \"a b", "alias: a quote isn't closed" },
		{ "blacklist", "blacklist: a module's name is missing" },
		{ "blacklist a b", "'b' is too much" },
		{ "softdep", "softdep: a module's name is missing" },
		{ "softdep a", "softdep: pre: or post: and modules are missing" },
		{ "softdep a b", "'b' stands where pre: or post: should" },
		{ "softdep a pre: b Post: c", "'Post:' stands where" },
		{ "softdep a pre: \"\"", "'' stands where" },
		{ "load", "load: a module's name is missing" },
		{ "load a usecs=5", "'usecs=5' is too much; parameters are given with options a ..." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct modconf *conf = modconf_new();
		struct platter_error error = { "" };

		assert_int_equal(modconf_parse(conf, "a.conf", cases[i].text, &error), -EINVAL);
		assert_says(error.text, cases[i].expected);
		modconf_free(conf);
	}
}

static void test_a_directorys_files_in_order(void **state)
{
	static const char *const expected[] = { "x=10", "x=9", "x=B", "x=a", NULL };
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };

	(void)state;
	directory_write_text("a.conf", "options m x=a");
	directory_write_text("B.conf", "options m x=B\n");
	directory_write_text("9-a.conf", "options m x=9");
	directory_write_text("10-b.conf", "options m x=10");
	directory_write_text(".hidden.conf", "nonsense");
	directory_write_text("c.conf~", "nonsense");
	directory_write_text("README", "nonsense");
	assert_int_equal(mkdir(directory_path("d.conf"), 0700), 0);
	if (modconf_read_directory(conf, directory_name(), &error) < 0)
		fail_msg("%s", error.text);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		same(modconf_option(conf, "m", i), expected[i]);
	directory_write_text("B.conf", "\nnonsense\n");
	assert_int_equal(modconf_read_directory(conf, directory_name(), &error), -EINVAL);
	assert_non_null(strstr(error.text, directory_path("B.conf:2: unknown keyword 'nonsense'")));
	modconf_free(conf);
}

static void test_files_that_cannot_be_read(void **state)
{
	struct modconf *conf = modconf_new();
	struct platter_error error = { "" };
	char *large = malloc((1u << 20) + 1);

	(void)state;
	assert_int_equal(modconf_read_directory(conf, directory_path("none"), &error), 0);
	assert_int_equal(modconf_read_file(conf, directory_path("a.conf"), &error), -ENOENT);
	assert_non_null(strstr(error.text, directory_path("a.conf: No such file")));
	assert_int_equal(symlink("nowhere", directory_path("a.conf")), 0);
	assert_int_equal(modconf_read_directory(conf, directory_name(), &error), -ENOENT);
	unlink(directory_path("a.conf"));
	directory_write("a.conf", "load a\n\0load b\n", 15);
	assert_int_equal(modconf_read_directory(conf, directory_name(), &error), -EINVAL);
	assert_non_null(strstr(error.text, "zero byte"));
	assert_non_null(large);
	memset(large, '\n', (1u << 20) + 1);
	directory_write("a.conf", large, 1u << 20);
	assert_int_equal(modconf_read_directory(conf, directory_name(), &error), 0);
	directory_write("a.conf", large, (1u << 20) + 1);
	assert_int_equal(modconf_read_directory(conf, directory_name(), &error), -EFBIG);
	assert_int_equal(modconf_read_directory(conf, directory_path("a.conf"), &error), -ENOTDIR);
	free(large);
	modconf_free(conf);
}

/* Whatever the text, the parser says yes or why not, and what it took can be looked up. */
static void test_spoiled_texts_do_no_harm(void **state)
{
	static const char text[] = "# what a file may have\n"
				   "alias driver:[a-c]* my-module\n"
				   "options my-module a=1 \\\n\tb=\"c d\" \"e=f\"\n"
				   "blacklist other\n"
				   "softdep my-module pre: one two post: three\n"
				   "load hello\n";
	uint64_t random = mutate_seed();
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		struct modconf *conf = modconf_new();
		struct platter_error error = { "" };
		char *spoiled = mutate(text, &random);

		assert_non_null(conf);
		assert_non_null(spoiled);
		if (modconf_parse(conf, "a.conf", spoiled, &error) < 0) {
			assert_memory_equal(error.text, "a.conf:", 7);
			refused++;
		}
		for (size_t j = 0; modconf_option(conf, "my_module", j); j++)
			assert_true(*modconf_option(conf, "my_module", j));
		for (size_t j = 0; modconf_alias(conf, "driver:b", j); j++)
			assert_true(modname_valid(modconf_alias(conf, "driver:b", j)));
		modconf_free(conf);
		free(spoiled);
	}
	assert_in_range(refused, 1000, 19000);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(modname_equal("a-b_c", "a_b-c"));
	assert_false(modname_equal("a-b", "a-bc"));
	assert_false(modname_equal("a-bc", "a-b"));
	assert_false(modname_valid(""));
	assert_false(modname_valid("a b"));
	assert_true(modname_valid("Az09_-"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_options_of_all_lines_in_order),
		cmocka_unit_test(test_blacklist_softdep_and_load),
		cmocka_unit_test(test_comments_blank_and_continued_lines),
		cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
		cmocka_unit_test_setup_teardown(test_a_directorys_files_in_order, directory_setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_files_that_cannot_be_read, directory_setup, directory_teardown),
		cmocka_unit_test(test_spoiled_texts_do_no_harm),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
