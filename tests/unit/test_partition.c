/* SPDX-License-Identifier: BSD-2-Clause */
/* Partition tables, good and bad; tests/partitions compares with fdisk and sfdisk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "server/block/error.h"
#include "server/block/partition.h"
#include "server/block/partition_copy.h"
#include "tests/unit/mutate.h"
#include "tests/unit/table.h"
#include "tests/unit/unit.h"

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)
#define MOST 300

static struct partition found[MOST];
static struct platter_error error;

static int scan_most(struct table_disk *disk, unsigned most)
{
	const struct partition_source source = { .name = "test", .read = table_read, .context = disk, .bytes = disk->bytes,
						 .sector_size = disk->sector_size };

	memset(found, 0xff, sizeof(found));
	error.text[0] = '\0';
	return partition_scan(&source, found, most, &error);
}

static int scan(struct table_disk *disk)
{
	return scan_most(disk, MOST);
}

/* The partition at INDEX has that number and lies there, in sectors. */
static void is(const struct table_disk *disk, unsigned index, unsigned number, uint64_t start, uint64_t length)
{
	assert_int_equal(found[index].number, number);
	assert_true(found[index].start == start * disk->sector_size);
	assert_true(found[index].length == length * disk->sector_size);
}

static void fails(struct table_disk *disk, int code, const char *why)
{
	assert_int_equal(scan(disk), -code);
	assert_says(error.text, why);
}

static void test_what_has_no_table_has_no_partitions(void **state)
{
	static const uint64_t sizes[] = { 1, 511, 512, 1024, 4095, 4096, 8192, 100 * MIB, INT64_MAX };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct table_disk *disk = table_disk_new(sizes[i], i % 2 ? 512 : 4096);

		assert_int_equal(scan(disk), 0);
		free(disk);
	}
}

static void test_an_empty_table_has_no_partitions(void **state)
{
	struct table_disk *disk = table_disk_new(MIB, 512);

	(void)state;
	table_mbr(disk, 0, 0, 0, 0, 0);
	assert_int_equal(scan(disk), 0);
	free(disk);
}

static void test_a_fat_boot_sector_is_no_table(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);

	(void)state;
	table_mbr(disk, 0, 0, 0x83, 10, 100); /* as its boot code may happen to be */
	assert_int_equal(scan(disk), 1);
	table_put(disk, 0, "\xeb\x3c\x90mkfs.fat\0\x02\x04\x01\0\x02\0\x02\0\x50\xf8\x14\0", 24);
	table_put(disk, 54, "FAT16   ", 8);
	assert_int_equal(scan(disk), 0);
	free(disk);
}

static void test_an_ntfs_boot_sector_is_no_table(void **state)
{
	(void)state;
	for (unsigned sector_size = 512; sector_size <= 4096; sector_size *= 8) {
		struct table_disk *disk = table_disk_new(10 * MIB, sector_size);

		table_mbr(disk, 0, 0, 0x83, 10, 100);
		table_put(disk, 0, "\xeb\x52\x90NTFS    \0\x02\x08", 14);
		table_put_number(disk, 40, 20000, 8);
		table_put_number(disk, 48, 300, 8);
		table_put_number(disk, 64, 0xf6, 1);
		assert_int_equal(scan(disk), 1); /* an MBR in what was the sector of an NTFS once */
		table_put(disk, 300 * 4096, "FILE", 4);
		assert_int_equal(scan(disk), 0);
		table_put_number(disk, 48, UINT64_MAX, 8);
		assert_int_equal(scan(disk), 1);
		free(disk);
	}
}

static void test_primary_partitions_keep_their_numbers(void **state)
{
	(void)state;
	for (unsigned sector_size = 512; sector_size <= 4096; sector_size *= 8) {
		struct table_disk *disk = table_disk_new(10 * MIB, sector_size);

		table_put_number(disk, 440, 0x0a1b2c3d, 4);
		table_mbr(disk, 0, 0, 0x83, 8, 100);
		table_mbr(disk, 0, 2, 0x0c, 200, 1);
		table_mbr(disk, 0, 3, 0x82, 1, 2);
		assert_int_equal(scan(disk), 3);
		is(disk, 0, 1, 8, 100);
		is(disk, 1, 3, 200, 1);
		is(disk, 2, 4, 1, 2);
		assert_string_equal(found[1].type, "0x0c");
		assert_string_equal(found[1].uuid, "0a1b2c3d-03");
		assert_string_equal(found[1].label, "");
		free(disk);
	}
}

/* Extended partition from sector 100 on; its logical partitions are in records at 100, 200, ... */
static struct table_disk *with_logical(unsigned count, unsigned sector_size)
{
	struct table_disk *disk = table_disk_new(100 * MIB, sector_size);

	table_mbr(disk, 0, 0, 0x83, 10, 20);
	table_mbr(disk, 0, 1, 0x05, 100, 100 * count);
	for (unsigned i = 0; i < count; i++) {
		table_mbr(disk, 100 + 100 * i, 0, 0x83, 10, 30 + i);
		if (i + 1 < count)
			table_mbr(disk, 100 + 100 * i, 1, 0x05, 100 + 100 * i, 100);
	}
	return disk;
}

static void test_logical_partitions_start_at_5(void **state)
{
	(void)state;
	for (unsigned sector_size = 512; sector_size <= 4096; sector_size *= 8) {
		struct table_disk *disk = with_logical(60, sector_size);

		assert_int_equal(scan(disk), 61);
		is(disk, 0, 1, 10, 20);
		for (unsigned i = 0; i < 60; i++)
			is(disk, 1 + i, 5 + i, 110 + 100 * i, 30 + i);
		free(disk);
	}
}

static void test_the_chain_ends_at_the_256th_record(void **state)
{
	struct table_disk *disk = with_logical(280, 512);

	(void)state;
	assert_int_equal(scan(disk), 257);
	is(disk, 256, 260, 25610, 285);
	free(disk);
}

static void test_a_loop_of_records_ends(void **state)
{
	struct table_disk *disk = with_logical(3, 512);

	(void)state;
	table_mbr(disk, 300, 1, 0x05, 100, 100);
	assert_int_equal(scan(disk), 4);
	assert_int_equal(disk->reads, 4); /* each once */
	table_mbr(disk, 300, 1, 0x05, 200, 100); /* itself */
	assert_int_equal(scan(disk), 4);
	table_mbr(disk, 0, 2, 0x0f, 200, 300); /* another extended partition, in the first one */
	assert_int_equal(scan(disk), 4);
	table_mbr(disk, 300, 1, 0x05, UINT32_MAX - 99, 300); /* sector 0, in 32 bits */
	assert_int_equal(scan(disk), 4);
	free(disk);
}

static void test_the_chain_ends_where_it_is_broken(void **state)
{
	struct table_disk *disk = with_logical(3, 512);

	(void)state;
	table_put(disk, 300 * 512 + 510, "\0\0", 2);
	assert_int_equal(scan(disk), 3);
	table_mbr(disk, 200, 1, 0x05, 300 * 2048, 100); /* beyond the end */
	assert_int_equal(scan(disk), 3);
	table_mbr(disk, 0, 1, 0x05, 0, 1000); /* would be the MBR itself */
	assert_int_equal(scan(disk), 1);
	free(disk);
}

static void test_nothing_wraps_around_32_bits(void **state)
{
	struct table_disk *disk = with_logical(3, 512);

	(void)state;
	disk->bytes = 20 * TIB;
	table_mbr(disk, 300, 0, 0x83, UINT32_MAX - 99, 100); /* 2 TiB behind sector 200 */
	assert_int_equal(scan(disk), 3);
	table_mbr(disk, 300, 0, 0x83, 10, 32);
	table_mbr(disk, 300, 1, 0x05, UINT32_MAX - 49, 100); /* 2 TiB behind sector 50 */
	table_mbr(disk, 50, 0, 0x83, 20, 5);
	assert_int_equal(scan(disk), 4);
	is(disk, 3, 7, 310, 32);
	table_mbr(disk, 0, 0, 0x83, UINT32_MAX, UINT32_MAX);
	assert_int_equal(scan(disk), 4);
	is(disk, 0, 1, UINT32_MAX, UINT32_MAX);
	free(disk);
	/* The bytes, not the sectors: libblkid counts in 512. */
	disk = table_disk_new(16 * TIB, 4096);
	table_mbr(disk, 0, 0, 0x83, 0x90000000, 0x60000000);
	table_mbr(disk, 0, 1, 0x05, 0xf0000000, 0x10000000);
	table_mbr(disk, 0xf0000000, 0, 0x83, 256, 0x0fffff00);
	assert_int_equal(scan(disk), 2);
	is(disk, 0, 1, 0x90000000, 0x60000000);
	is(disk, 1, 5, 0xf0000100, 0x0fffff00);
	free(disk);
}

static void test_what_reaches_beyond_the_end_is_left_out(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB + 100, 512);

	(void)state;
	table_mbr(disk, 0, 0, 0x83, 10, 20 * 1024 - 10);
	table_mbr(disk, 0, 1, 0x83, 10, 20 * 1024 - 9);
	table_mbr(disk, 0, 2, 0xa5, UINT32_MAX, UINT32_MAX); /* of which a nested table is looked for */
	table_mbr(disk, 0, 3, 0x82, 30 * 1024, 100);
	assert_int_equal(scan(disk), 1);
	is(disk, 0, 1, 10, 20 * 1024 - 10);
	free(disk);
}

static void test_nested_tables_are_left_out(void **state)
{
	struct table_disk *disk = with_logical(3, 512);
	uint64_t label = 200 * 512 + 64; /* in a sector that libblkid gets to see */

	(void)state;
	table_mbr(disk, 0, 2, 0xa9, 200, 100);
	table_put(disk, label, "WEV\x82", 4);
	table_put_number(disk, label + 138, 1, 2);
	table_put_number(disk, label + 148, 10, 4);
	table_put_number(disk, label + 152, 220, 4);
	table_put_number(disk, label + 160, 7, 1);
	assert_int_equal(scan(disk), 5);
	is(disk, 4, 7, 310, 32);
	free(disk);
}

static void test_what_there_is_no_room_for_is_left_out(void **state)
{
	struct table_disk *disk = with_logical(60, 512);

	(void)state;
	assert_int_equal(scan_most(disk, 7), 7);
	is(disk, 6, 10, 610, 35);
	assert_int_equal(found[7].number, UINT32_MAX);
	assert_int_equal(scan_most(disk, 0), 0);
	free(disk);
}

static const struct table_gpt_entry three[] = { { 100, 199 }, { 0, 0 }, { 200, 200 }, { 50, 59 } };

static void test_gpt_partitions_keep_their_numbers(void **state)
{
	(void)state;
	for (unsigned sector_size = 512; sector_size <= 4096; sector_size *= 8) {
		struct table_disk *disk = table_disk_new(10 * MIB + 300, sector_size);

		table_both_gpts(disk, three, 4);
		assert_int_equal(scan(disk), 3);
		is(disk, 0, 1, 100, 100);
		is(disk, 1, 3, 200, 1);
		is(disk, 2, 4, 50, 10);
		assert_string_equal(found[1].type, "0fc63daf-8483-4772-8e79-3d69d8477de4");
		assert_string_equal(found[1].uuid, "00000003-0000-0000-0000-000000000000");
		assert_string_equal(found[1].label, "r\xc3\xb6");
		free(disk);
	}
}

static void test_a_name_that_is_no_utf16_is_none(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);

	(void)state;
	table_both_gpts(disk, three, 1);
	table_put_number(disk, 1024 + 56, 0xd800, 4); /* half a surrogate pair */
	table_gpt_sum(disk, 1);
	assert_int_equal(scan(disk), 1);
	assert_string_equal(found[0].label, "");
	free(disk);
}

static void test_either_gpt_will_do(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);
	uint64_t last = 10 * 2048 - 1;

	(void)state;
	table_both_gpts(disk, three, 4);
	*table_byte(disk, last * 512 + 30) ^= 1;
	assert_int_equal(scan(disk), 3);
	*table_byte(disk, last * 512 + 30) ^= 1;
	*table_byte(disk, 512 + 30) ^= 1; /* the header */
	assert_int_equal(scan(disk), 3);
	*table_byte(disk, 512 + 30) ^= 1;
	*table_byte(disk, 1024) ^= 1; /* the entries */
	assert_int_equal(scan(disk), 3);
	*table_byte(disk, last * 512 - 1) ^= 1;
	fails(disk, EINVAL, "neither that at sector 1 nor its backup at sector 20479 is valid");
	free(disk);
}

static void test_a_gpt_that_does_not_fit_the_disk_fails(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);

	(void)state;
	table_protect(disk);
	fails(disk, EINVAL, "neither");
	table_both_gpts(disk, three, 4);
	disk->bytes = 9 * MIB; /* shrunk */
	fails(disk, EINVAL, "neither");
	disk->bytes = 11 * MIB; /* grown */
	assert_int_equal(scan(disk), 3);
	disk->sector_size = 4096;
	fails(disk, EINVAL, "for sectors of 512 bytes, not 4096");
	free(disk);
	disk = table_disk_new(10 * MIB, 4096);
	table_both_gpts(disk, three, 4);
	disk->sector_size = 512;
	fails(disk, EINVAL, "for sectors of 4096 bytes, not 512");
	free(disk);
	for (unsigned sectors = 2; sectors < 20; sectors++) {
		disk = table_disk_new(sectors * 512, 512);
		table_protect(disk);
		fails(disk, EINVAL, "a GPT is read only from more than 1474560");
		free(disk);
	}
}

static void test_gpt_entries_may_be_elsewhere(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);
	struct table_gpt gpt = { .header = 1, .entries = 50, .first_usable = 500, .count = 1024, .used = 1 };
	const struct table_gpt_entry entry = { 600, 700 };

	(void)state;
	gpt.entry = &entry;
	table_protect(disk);
	table_gpt(disk, gpt);
	assert_int_equal(scan(disk), 1);
	is(disk, 0, 1, 600, 101);
	free(disk);
}

static void test_gpt_entries_that_are_too_many_or_nowhere_are_not_read(void **state)
{
	static const struct table_gpt bad[] = {
		{ .count = 1025 },
		{ .count = 0x01ffffff }, /* almost 4 GiB */
		{ .count = UINT32_MAX, .size = UINT32_MAX },
		{ .size = 256 },
		{ .entries = 1 },
		{ .entries = UINT64_MAX },
		{ .entries = UINT64_C(1) << 55 },
		{ .entries = 10 * 2048 - 32 }, /* over the backup */
		{ .entries = 10 * 2048 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct table_disk *disk = table_disk_new(10 * MIB, 512);
		struct table_gpt gpt = bad[i];

		gpt.header = 1;
		table_protect(disk);
		table_gpt(disk, gpt);
		fails(disk, EINVAL, "neither");
		free(disk);
	}
}

/* For which libblkid would take 4 GiB of memory. */
static void test_a_header_that_is_left_out_stays_out(void **state)
{
	struct table_disk *disk = table_disk_new(8192 * MIB, 512);
	const struct partition_source source = { .name = "test", .read = table_read, .context = disk, .bytes = disk->bytes,
						 .sector_size = 512 };
	struct partition_copy copy;
	char signature;

	(void)state;
	table_protect(disk);
	table_gpt(disk, (struct table_gpt){ .header = 1, .entries = 2, .count = 0x01ffffff });
	table_gpt(disk, (struct table_gpt){ .header = 8192 * 2048 - 1, .entries = 1 }); /* would bring it along */
	assert_int_equal(partition_copy_make(&copy, &source, &error), 1);
	assert_int_equal(pread(copy.fd, &signature, 1, 512), 1);
	assert_int_equal(signature, 0);
	partition_copy_end(&copy);
	fails(disk, EINVAL, "neither");
	free(disk);
}

static void test_gpt_partitions_that_are_nowhere_are_left_out(void **state)
{
	static const struct table_gpt_entry entries[] = {
		{ 100, 199 },       { 33, 40 },          { 20000, 20479 }, { 300, 299 }, { 300, 100 }, { 300, UINT64_MAX },
		{ UINT64_MAX, 300 }, { UINT64_MAX, UINT64_MAX }, { UINT64_C(1) << 63, 400 }, { 20400, 20446 },
	};
	struct table_disk *disk = table_disk_new(10 * MIB, 512);

	(void)state;
	table_both_gpts(disk, entries, 10);
	assert_int_equal(scan(disk), 2);
	is(disk, 0, 1, 100, 100);
	is(disk, 1, 10, 20400, 47);
	free(disk);
}

static void test_a_hybrid_mbr_has_the_gpts_partitions(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 512);

	(void)state;
	table_both_gpts(disk, three, 4);
	table_mbr(disk, 0, 1, 0x83, 1000, 1000);
	assert_int_equal(scan(disk), 3);
	is(disk, 0, 1, 100, 100);
	free(disk);
}

static void test_the_largest_disks_can_be_read(void **state)
{
	static const uint64_t sizes[] = { 100 * TIB, INT64_MAX - 4095, INT64_MAX };

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct table_disk *disk = table_disk_new(sizes[i / 2], i % 2 ? 4096 : 512);
		uint64_t sectors = disk->bytes / disk->sector_size;
		const struct table_gpt_entry entry = { 100, sectors - 100 };

		table_both_gpts(disk, &entry, 1);
		assert_int_equal(scan(disk), 1);
		is(disk, 0, 1, 100, sectors - 199);
		*table_byte(disk, disk->sector_size) = 0;
		assert_int_equal(scan(disk), 1);
		is(disk, 0, 1, 100, sectors - 199);
		free(disk);
	}
}

static void test_what_cannot_be_read_fails(void **state)
{
	struct table_disk *disk = with_logical(3, 512);

	(void)state;
	disk->bad = 200 * 512;
	fails(disk, EIO, "512 bytes at 102400: Input/output error");
	disk->bad = 300;
	fails(disk, EIO, "512 bytes at 0: Input/output error");
	free(disk);
	disk = table_disk_new(10 * MIB, 4096);
	table_both_gpts(disk, three, 4);
	disk->bad = 10 * MIB - 1;
	fails(disk, EIO, "4096 bytes at 10481664: Input/output error");
	free(disk);
}

static void test_other_sector_sizes_are_refused(void **state)
{
	struct table_disk *disk = table_disk_new(10 * MIB, 1024);

	(void)state;
	fails(disk, EINVAL, "not 1024");
	free(disk);
}

static void holds(const struct table_disk *disk, int result, unsigned most)
{
	if (result < 0)
		assert_true(error.text[0]);
	assert_true(result <= (int)most);
	for (int i = 0; i < result; i++) {
		assert_true(found[i].length > 0 && found[i].length % disk->sector_size == 0);
		assert_true(found[i].start % disk->sector_size == 0);
		assert_true(found[i].start <= disk->bytes && found[i].length <= disk->bytes - found[i].start);
		assert_true(found[i].number > (i ? found[i - 1].number : 0));
		assert_non_null(memchr(found[i].label, 0, sizeof(found[i].label)));
		assert_true(found[i].type[0]);
	}
}

/* Changes bytes where a table has something to say, scans, and takes the changes back. */
static void spoil(struct table_disk *disk, const uint64_t *places, unsigned count, uint64_t *random)
{
	static struct table_disk copy;
	static const unsigned char likely[] = { 0, 1, 0x05, 0x0f, 0x7f, 0x80, 0xff, 0x83, 0xa5, 0xee };

	for (unsigned round = 0; round < 400; round++) {
		unsigned changes = 1 + mutate_random(random) % 4;
		unsigned most = mutate_random(random) % 8 ? MOST : mutate_random(random) % 4;

		memcpy(&copy, disk, sizeof(copy));
		for (unsigned i = 0; i < changes; i++) {
			uint64_t place = places[mutate_random(random) % count] + mutate_random(random) % 64;
			uint64_t value = mutate_random(random);

			*table_byte(&copy, place) = value % 2 ? likely[value / 2 % sizeof(likely)] : (unsigned char)(value >> 8);
		}
		if (mutate_random(random) % 4 && *table_byte(&copy, copy.sector_size) == 'E')
			table_gpt_sum(&copy, 1);
		holds(&copy, scan_most(&copy, most), most);
	}
}

static void test_no_mutation_breaks_the_promises(void **state)
{
	const uint64_t records[] = { 446, 446, 100 * 512 + 446, 200 * 512 + 446, 300 * 512 + 446, 400 * 512 + 446 };
	const uint64_t gpts[] = { 446, 512, 512 + 40, 1024, 1024 + 16, 1024 + 256, 1024 + 384 };
	struct table_disk *disk = with_logical(5, 512);
	uint64_t random = mutate_seed();

	(void)state;
	log_open("test", LOG_LEVEL_ERROR);
	spoil(disk, records, sizeof(records) / sizeof(records[0]), &random);
	free(disk);
	disk = table_disk_new(2 * MIB, 512);
	table_both_gpts(disk, three, 4);
	spoil(disk, gpts, sizeof(gpts) / sizeof(gpts[0]), &random);
	free(disk);
	log_open("test", LOG_LEVEL_NOTICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_has_no_table_has_no_partitions),
		cmocka_unit_test(test_an_empty_table_has_no_partitions),
		cmocka_unit_test(test_a_fat_boot_sector_is_no_table),
		cmocka_unit_test(test_an_ntfs_boot_sector_is_no_table),
		cmocka_unit_test(test_primary_partitions_keep_their_numbers),
		cmocka_unit_test(test_logical_partitions_start_at_5),
		cmocka_unit_test(test_the_chain_ends_at_the_256th_record),
		cmocka_unit_test(test_a_loop_of_records_ends),
		cmocka_unit_test(test_the_chain_ends_where_it_is_broken),
		cmocka_unit_test(test_nothing_wraps_around_32_bits),
		cmocka_unit_test(test_what_reaches_beyond_the_end_is_left_out),
		cmocka_unit_test(test_nested_tables_are_left_out),
		cmocka_unit_test(test_what_there_is_no_room_for_is_left_out),
		cmocka_unit_test(test_gpt_partitions_keep_their_numbers),
		cmocka_unit_test(test_a_name_that_is_no_utf16_is_none),
		cmocka_unit_test(test_either_gpt_will_do),
		cmocka_unit_test(test_a_gpt_that_does_not_fit_the_disk_fails),
		cmocka_unit_test(test_gpt_entries_may_be_elsewhere),
		cmocka_unit_test(test_gpt_entries_that_are_too_many_or_nowhere_are_not_read),
		cmocka_unit_test(test_a_header_that_is_left_out_stays_out),
		cmocka_unit_test(test_gpt_partitions_that_are_nowhere_are_left_out),
		cmocka_unit_test(test_a_hybrid_mbr_has_the_gpts_partitions),
		cmocka_unit_test(test_the_largest_disks_can_be_read),
		cmocka_unit_test(test_what_cannot_be_read_fails),
		cmocka_unit_test(test_other_sector_sizes_are_refused),
		cmocka_unit_test(test_no_mutation_breaks_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
