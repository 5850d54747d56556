/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of configuration files, without what it means. */
#include <stdio.h>
#include <stdlib.h>

#include "server/config_text.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

/* It stays where it is: it has pointers to itself. */
static void parse(struct config_text *text, const char *content)
{
	assert_int_equal(config_text_init(text), 0);
	config_text_parse(text, "a.conf", content);
}

/* All of it as one text: "KIND(NAME) KEY=VALUE@LINE ...". */
static char *shown(const struct config_text *text)
{
	struct list_head *section_node, *node;
	char *all;
	size_t size;
	FILE *file = open_memstream(&all, &size);

	list_for_each(section_node, &text->sections) {
		const struct config_section *section = container_of(section_node, struct config_section, link);

		fprintf(file, "%s(%s)", section->kind, section->name ? section->name : "");
		list_for_each(node, &section->settings) {
			const struct config_setting *setting = container_of(node, struct config_setting, link);

			fprintf(file, " %s=%s@%u", setting->key, setting->value, setting->place.line);
		}
		fputs(";", file);
	}
	fclose(file);
	return all;
}

static void same(const char *content, const char *expected)
{
	struct config_text text;
	char *all;

	parse(&text, content);
	all = shown(&text);
	if (text.count)
		fail_msg("%s", text.problems);
	assert_string_equal(all, expected);
	free(all);
	config_text_free(&text);
}

/* CONTENT has exactly these problems. */
static void wrong(const char *content, const char *expected)
{
	struct config_text text;

	parse(&text, content);
	assert_true(text.count > 0);
	assert_string_equal(text.problems, expected);
	config_text_free(&text);
}

static void test_sections_and_settings(void **state)
{
	(void)state;
	same("", "");
	same("[daemon]\nthreads = 4\nmemory=1G\n", "daemon() threads=4@2 memory=1G@3;");
	same("[export vm1]\nsource = /srv/a b.img\n[export  vm 2 ]\nsource=ram:1G", "export(vm1) source=/srv/a b.img@2;export(vm 2) source=ram:1G@4;");
	/* One that has nothing is there, too. */
	same("[export a]\n[tls]\n", "export(a);tls();");
}

static void test_comments_blanks_and_line_ends(void **state)
{
	(void)state;
	same("\xef\xbb\xbf# first\r\n[daemon]\r\n ; second\r\n\r\nthreads = 4\r\n", "daemon() threads=4@5;");
	same("[daemon]\nthreads = 4 ; four\ncontrol = /a;b\n", "daemon() threads=4@2 control=/a;b@3;");
	same("[export a]\ndescription = a \\; b\n", "export(a) description=a \\; b@2;");
	/* Blanks in front mean nothing: such a line doesn't belong to the one before. */
	same("[daemon]\n\tthreads = 4\n\tmemory = 1G\n  [tls]\n", "daemon() threads=4@2 memory=1G@3;tls();");
	same("[ daemon ]\n[ export  a b ]\nsource = x\n", "daemon();export(a b) source=x@3;");
}

static void test_long_names_and_values(void **state)
{
	char content[4096], name[300], value[3000], expected[4096];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	memset(value, 'v', sizeof(value) - 1);
	name[sizeof(name) - 1] = value[sizeof(value) - 1] = '\0';
	snprintf(content, sizeof(content), "[export %s]\ndescription = %s\n", name, value);
	snprintf(expected, sizeof(expected), "export(%s) description=%s@2;", name, value);
	same(content, expected);
}

static void test_what_is_wrong_is_told_with_its_line(void **state)
{
	(void)state;
	wrong("threads = 4\n", "a.conf:1: threads = 4: stands in no section; write one before it, as [daemon]\n");
	wrong("[daemon]\n\nthreads\n", "a.conf:3: write KEY = VALUE, or [KIND NAME]; a comment begins with #\n");
	wrong("[daemon]\nthreads", "a.conf:2: write KEY = VALUE, or [KIND NAME]; a comment begins with #\n");
	wrong("[daemon]\n= 4\n", "a.conf:2: = 4: a key is missing\n");
	wrong("[daemon]\na = 1\nb = 2\na = 3\n", "a.conf:4: a = 3: given twice, in line 2, too\n");
	/* What stands in a section that has no end is not complained of, too; all others are. */
	wrong("[daemon\nthreads = 4\n[tls] x\nb = 1\n[tls]\nc\n", "a.conf:1: [daemon: write [KIND] or [KIND NAME] on a line of its own\n"
	      "a.conf:3: [tls] x: write [KIND] or [KIND NAME] on a line of its own\n"
	      "a.conf:6: write KEY = VALUE, or [KIND NAME]; a comment begins with #\n");
}

static void test_a_line_that_is_too_long_is_refused(void **state)
{
	char *content = malloc(70000);
	struct config_text text;

	(void)state;
	snprintf(content, 70000, "[export a]\ndescription = %065000d\nsource = ram:1M\n", 0);
	parse(&text, content);
	assert_int_equal(text.count, 1);
	assert_says(text.problems, "a.conf:2: longer than the ");
	assert_non_null(config_text_setting(list_first_entry(&text.sections, struct config_section, link), "source"));
	config_text_free(&text);
	free(content);
}

static void test_a_later_file_counts_instead_but_lists_add_up(void **state)
{
	struct config_text text;
	char *all;

	(void)state;
	parse(&text, "[export a]\nsource = ram:1M\nreadonly = on\nallow = uid:1\nallow = uid:2\n");
	config_text_parse(&text, "b.conf", "[daemon]\nthreads = 1\n[export a]\nreadonly = off\nallow = uid:3\n");
	all = shown(&text);
	assert_int_equal(text.count, 0);
	assert_string_equal(all, "export(a) source=ram:1M@2 allow=uid:1@4 allow=uid:2@5 readonly=off@4 allow=uid:3@5;daemon() threads=1@2;");
	free(all);
	config_text_free(&text);
}

static void test_sections_and_settings_are_found(void **state)
{
	const struct config_section *section;
	struct config_text text;

	(void)state;
	parse(&text, "[export daemon]\na = 1\n[daemon]\nb = 2\n");
	section = config_text_section(&text, "daemon");
	assert_string_equal(config_text_setting(section, "b")->value, "2");
	assert_null(config_text_setting(section, "a"));
	assert_null(config_text_section(&text, "tls"));
	assert_null(config_text_setting(NULL, "a"));
	config_text_free(&text);
}

static void test_damaged_files(void **state)
{
	static const char good[] = "# c\n[daemon]\nthreads = 4\n[export a]\nsource = ram:1M ; c\nallow = uid:0\n[tls]\n\tpsk=/a\n";
	uint64_t random = mutate_seed();

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char *spoiled = mutate(good, &random);
		struct config_text text;

		parse(&text, spoiled);
		assert_int_equal(text.count > 0, text.length > 0);
		config_text_free(&text);
		free(spoiled);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections_and_settings),
		cmocka_unit_test(test_comments_blanks_and_line_ends),
		cmocka_unit_test(test_long_names_and_values),
		cmocka_unit_test(test_what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(test_a_line_that_is_too_long_is_refused),
		cmocka_unit_test(test_a_later_file_counts_instead_but_lists_add_up),
		cmocka_unit_test(test_sections_and_settings_are_found),
		cmocka_unit_test(test_damaged_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
