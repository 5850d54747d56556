/* SPDX-License-Identifier: BSD-2-Clause */
/* Exports as words: as they are written, compared, and written again. */
#include <stdlib.h>

#include "server/definition.h"
#include "tests/unit/unit.h"

/* TEXT is of this name and source, and is written again as SPEC. */
static void check(const char *text, const char *name, const char *source, const char *spec)
{
	struct definition *definition = definition_parse(text);
	char *again = definition_spec(definition);

	assert_string_equal(definition->name ? definition->name : "(none)", name);
	assert_string_equal(definition->source, source);
	assert_string_equal(again, spec);
	free(again);
	definition_free(definition);
}

static void test_a_spec_is_taken_to_pieces_and_put_together(void **state)
{
	(void)state;
	check("ram:1G", "(none)", "ram:1G", "ram:1G");
	check("vm1=ram:1G", "vm1", "ram:1G", "vm1=ram:1G");
	check("/srv/a=b.img", "(none)", "/srv/a=b.img", "/srv/a=b.img");
	check("vm1=/srv/a\\,b.img,readonly", "vm1", "/srv/a\\,b.img", "vm1=/srv/a\\,b.img,readonly=on");
	check("ram:size=1G", "(none)", "ram:size=1G", "ram:size=1G");
	/* In the order of the keys' names; those that come twice stay in theirs. */
	check("a=ram:1M,readonly,allow=uid:2,description=a\\,b,allow=uid:1", "a", "ram:1M",
	      "a=ram:1M,allow=uid\\:2,allow=uid\\:1,description=a\\,b,readonly=on");
	check("\\/a\\=b\\:c=ram:1M", "/a=b:c", "ram:1M", "\\/a\\=b\\:c=ram:1M");
}

static void compare(const char *a, const char *b, bool equal, bool same_disk)
{
	struct definition *left = definition_parse(a), *right = definition_parse(b), *copy = definition_copy(left);

	assert_int_equal(definition_equal(left, right), equal);
	assert_int_equal(definition_equal(right, left), equal);
	assert_int_equal(definition_same_disk(left, right), same_disk);
	assert_int_equal(definition_same_disk(right, left), same_disk);
	assert_true(definition_equal(left, copy));
	definition_free(left);
	definition_free(right);
	definition_free(copy);
}

static void test_what_makes_another_disk(void **state)
{
	(void)state;
	compare("a=ram:1M", "a=ram:1M", true, true);
	compare("a=ram:1M,readonly,huge", "a=ram:1M,huge=on,readonly=on", true, true);
	compare("a=ram:1M", "a=ram:2M", false, false);
	compare("a=ram:1M", "b=ram:1M", false, false);
	compare("a=ram:1M", "a=ram:1M,readonly", false, false);
	compare("a=ram:1M", "a=ram:1M,description=x", false, true);
	compare("a=ram:1M,allow=uid:1", "a=ram:1M,tls", false, true);
	compare("a=ram:1M,allow=uid:1,allow=uid:2", "a=ram:1M,allow=uid:1", false, true);
	compare("a=ram:1M,queue.plug_us=1", "a=ram:1M,queue.plug_us=2", false, true);
	compare("a=ram:1M,queue.plug_us=1,huge", "a=ram:1M", false, false);
}

static void test_another_export_of_a_disk(void **state)
{
	struct definition *definition = definition_parse("ro=disk:a\\:b,readonly");

	(void)state;
	assert_true(definition_stands_on(definition, "a:b"));
	assert_false(definition_stands_on(definition, "a"));
	assert_true(definition_has_key(definition, "readonly"));
	assert_false(definition_has_key(definition, "allow"));
	definition_free(definition);
	definition_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_spec_is_taken_to_pieces_and_put_together),
		cmocka_unit_test(test_what_makes_another_disk),
		cmocka_unit_test(test_another_export_of_a_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
