/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk's identity: how it is written, and what it follows from. */
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/nbd/info.h"
#include "tests/unit/directory.h"
#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

#define GIVEN "01234567-89ab-cdef-0123-456789abcdef"

static void test_a_uuid_is_read_in_letters_of_either_size(void **state)
{
	char uuid[IDENTITY_LENGTH + 1];

	(void)state;
	assert_true(identity_parse(uuid, GIVEN));
	assert_string_equal(uuid, GIVEN);
	assert_true(identity_parse(uuid, "01234567-89AB-CDEF-0123-456789ABCDEF"));
	assert_string_equal(uuid, GIVEN);
}

static void test_nothing_else_is_one(void **state)
{
	static const char *const wrong[] = {
		"", "-", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcde", GIVEN "0", " " GIVEN,
		"{1234567-89ab-cdef-0123-456789abcde}", "0123456789ab-cdef-0123-456789abcdef-", "01234567-89ab-cdef-0123-456789abcdeg",
		"01234567-89ab-cdef-01234456789abcdef", "01234567x89ab-cdef-0123-456789abcdef", "\xb0" "1234567-89ab-cdef-0123-456789abcdef",
	};
	char uuid[IDENTITY_LENGTH + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(identity_parse(uuid, wrong[i]));
}

/* Clients keep these: a server that finds out others, of the same disks, is refused by them all. */
static void test_the_rule_stays_the_same(void **state)
{
	struct fake *fake = fake_new();

	(void)state;
	identity_init(directory_write_text("machine-id", "0123456789abcdef0123456789abcdef\n"));
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, "/srv/a.img"), 0);
	assert_string_equal(fake->disk->identity.uuid, "7f40eb58-4fa5-84ce-817f-3f6fcadcf931");
	fake->disk->identity.uuid[0] = '\0';
	assert_int_equal(identity_settle(fake->disk, NULL, NULL), 0);
	assert_string_equal(fake->disk->identity.uuid, "0bb9f88c-b231-833c-823a-2d071cfc119e");
	fake->disk->whole = disk_get(fake->disk);
	assert_int_equal(identity_settle_partition(fake->disk, 1, NULL), 0);
	assert_string_equal(fake->disk->identity.uuid, "cc9a456c-550f-8900-81e8-ad73752aa2a9");
	disk_put(fake->disk->whole);
	fake->disk->whole = NULL;
	fake_free(fake);
}

static void test_what_is_given_is_not_changed_by_the_driver(void **state)
{
	struct fake *fake = fake_new();

	(void)state;
	assert_int_equal(identity_settle(fake->disk, GIVEN, NULL), 0);
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, "/srv/a.img"), 0);
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, NULL), 0);
	assert_string_equal(fake->disk->identity.uuid, GIVEN);
	fake_free(fake);
}

static void test_new_content_is_another_disk(void **state)
{
	struct fake *fake = fake_new();
	char before[IDENTITY_LENGTH + 1];

	(void)state;
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, NULL), 0);
	strcpy(before, fake->disk->identity.uuid);
	assert_int_equal(before[14], '4');
	assert_non_null(strchr("89ab", before[19]));
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, NULL), 0);
	assert_string_not_equal(fake->disk->identity.uuid, before);
	fake_free(fake);
}

/* A random one would change with each start. */
static void test_without_a_machine_there_is_none(void **state)
{
	struct fake *fake = fake_new();

	(void)state;
	identity_init(directory_path("nothing"));
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, "/srv/a.img"), 0);
	assert_string_equal(fake->disk->identity.uuid, "");
	assert_int_equal(platter_disk_set_identity(&fake->disk->driver_side, NULL), 0);
	assert_int_equal(strlen(fake->disk->identity.uuid), IDENTITY_LENGTH);
	fake_free(fake);
}

static void test_it_is_the_last_word_of_the_description(void **state)
{
	struct fake *fake = fake_new();
	struct export *export = export_get("fake");
	char text[INFO_TEXT_SIZE];

	(void)state;
	assert_int_equal(info_description(text, export), strlen("a disk for tests"));
	assert_string_equal(text, "a disk for tests");
	assert_int_equal(identity_settle(fake->disk, GIVEN, NULL), 0);
	assert_int_equal(info_description(text, export), strlen("a disk for tests uuid=" GIVEN));
	assert_string_equal(text, "a disk for tests uuid=" GIVEN);
	export_put(export);
	fake_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_uuid_is_read_in_letters_of_either_size),
		cmocka_unit_test(test_nothing_else_is_one),
		cmocka_unit_test(test_the_rule_stays_the_same),
		cmocka_unit_test(test_what_is_given_is_not_changed_by_the_driver),
		cmocka_unit_test(test_new_content_is_another_disk),
		cmocka_unit_test(test_without_a_machine_there_is_none),
		cmocka_unit_test(test_it_is_the_last_word_of_the_description),
	};

	return cmocka_run_group_tests(tests, directory_setup, directory_teardown);
}
