/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver volatile's parts: its cache over a store in memory, what it plans for a request, and how it does it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/volatile/cache.h"
#include "plugins/volatile/mix.h"
#include "plugins/volatile/plan.h"
#include "plugins/volatile/sectors.h"
#include "plugins/volatile/store.h"
#include "server/block/error.h"
#include "tests/unit/unit.h"

#define SECTORS 1024
#define PLENTY 100000

static void start(struct cache *cache, uint64_t most, uint64_t seed)
{
	uint64_t bytes = SECTORS * STORE_SECTOR;
	int store = store_open("test", NULL, &bytes, NULL);

	assert_true(store >= 0);
	assert_int_equal(cache_init(cache, store, SECTORS, most, seed), 0);
}

static void end(struct cache *cache)
{
	close(cache->store);
	cache_destroy(cache);
}

static void write_value(struct cache *cache, uint64_t sector, uint64_t count, uint8_t value)
{
	uint8_t *data = malloc(count * STORE_SECTOR);

	assert_non_null(data);
	memset(data, value, count * STORE_SECTOR);
	assert_int_equal(cache_write(cache, sector, count, data), 0);
	free(data);
}

/* The value that the whole of SECTOR has. */
static uint8_t value_of(const struct cache *cache, uint64_t sector)
{
	uint8_t data[STORE_SECTOR];

	assert_int_equal(cache_read(cache, sector, 1, data), 0);
	for (unsigned i = 1; i < STORE_SECTOR; i++)
		assert_int_equal(data[i], data[0]);
	return data[0];
}

static uint8_t durable_value_of(const struct cache *cache, uint64_t sector)
{
	uint8_t data[STORE_SECTOR];

	assert_int_equal(store_read(cache->store, sector, 1, data), 0);
	return data[0];
}

static void flush(struct cache *cache)
{
	assert_int_equal(cache_flush(cache, cache_mark(cache), 100), 0);
}

static void test_what_is_not_flushed_is_only_in_the_cache(void **state)
{
	struct cache cache;

	(void)state;
	start(&cache, PLENTY, 1);
	write_value(&cache, 5, 3, 1);
	write_value(&cache, 6, 1, 2);
	assert_int_equal(value_of(&cache, 4), 0);
	assert_int_equal(value_of(&cache, 5), 1);
	assert_int_equal(value_of(&cache, 6), 2);
	assert_int_equal(cache.dirty_count, 3);
	assert_int_equal(cache.versions, 4);
	for (uint64_t sector = 5; sector < 8; sector++)
		assert_int_equal(durable_value_of(&cache, sector), 0);
	flush(&cache);
	assert_int_equal(cache.dirty_count, 0);
	assert_int_equal(cache.versions, 0);
	assert_int_equal(durable_value_of(&cache, 5), 1);
	assert_int_equal(durable_value_of(&cache, 6), 2);
	assert_int_equal(durable_value_of(&cache, 7), 1);
	end(&cache);
}

static void test_a_flush_covers_what_came_before_its_mark(void **state)
{
	struct cache cache;
	uint64_t mark;

	(void)state;
	start(&cache, PLENTY, 1);
	write_value(&cache, 1, 1, 1);
	write_value(&cache, 1, 1, 2);
	write_value(&cache, 2, 1, 1);
	mark = cache_mark(&cache);
	write_value(&cache, 1, 1, 3);
	write_value(&cache, 3, 1, 1);
	assert_int_equal(cache_flush(&cache, mark, 100), 0);
	assert_int_equal(value_of(&cache, 1), 3);
	assert_int_equal(value_of(&cache, 3), 1);
	assert_int_equal(cache.versions, 2);
	assert_int_equal(cache_cut(&cache, 0, 0), 0);
	assert_int_equal(value_of(&cache, 1), 2);
	assert_int_equal(value_of(&cache, 2), 1);
	assert_int_equal(value_of(&cache, 3), 0);
	end(&cache);
}

static void test_writing_through_takes_its_own_sectors_only(void **state)
{
	struct cache cache;

	(void)state;
	start(&cache, PLENTY, 1);
	write_value(&cache, 1, 4, 1);
	write_value(&cache, 2, 2, 2);
	assert_int_equal(cache_write_through(&cache, 2, 2), 0);
	assert_int_equal(cache.dirty_count, 2);
	cache_cut(&cache, 0, 0);
	assert_int_equal(value_of(&cache, 1), 0);
	assert_int_equal(value_of(&cache, 2), 2);
	assert_int_equal(value_of(&cache, 3), 2);
	assert_int_equal(value_of(&cache, 4), 0);
	end(&cache);
}

/* Old, and three versions, everywhere; the power is cut: how many sectors have each. */
static void cut_all(uint64_t seed, unsigned percent, uint8_t *found, unsigned counts[4])
{
	struct cache cache;
	uint64_t kept;

	start(&cache, PLENTY, seed);
	for (uint8_t value = 1; value < 4; value++)
		write_value(&cache, 0, SECTORS, value);
	kept = cache_cut(&cache, 7, percent);
	assert_int_equal(cache.versions, 0);
	memset(counts, 0, 4 * sizeof(*counts));
	for (uint64_t sector = 0; sector < SECTORS; sector++) {
		found[sector] = value_of(&cache, sector);
		assert_true(found[sector] < 4);
		counts[found[sector]]++;
	}
	assert_int_equal(kept, SECTORS - counts[0]);
	end(&cache);
}

static void test_a_cut_keeps_any_version_or_none(void **state)
{
	uint8_t found[SECTORS], again[SECTORS];
	unsigned counts[4];

	(void)state;
	cut_all(3, 0, found, counts);
	assert_int_equal(counts[0], SECTORS);
	cut_all(3, 100, found, counts);
	assert_int_equal(counts[0], 0);
	cut_all(3, 50, found, counts);
	assert_in_range(counts[0], SECTORS * 4 / 10, SECTORS * 6 / 10);
	for (unsigned value = 1; value < 4; value++)
		assert_in_range(counts[value], SECTORS / 9, SECTORS * 2 / 9);
	cut_all(3, 50, again, counts);
	assert_memory_equal(found, again, SECTORS);
	cut_all(4, 50, again, counts);
	assert_memory_not_equal(found, again, SECTORS);
}

static void test_a_cut_depends_on_no_order(void **state)
{
	struct cache forwards, backwards;

	(void)state;
	start(&forwards, PLENTY, 1);
	start(&backwards, PLENTY, 1);
	for (uint64_t sector = 0; sector < SECTORS; sector++) {
		write_value(&forwards, sector, 1, 1);
		write_value(&backwards, SECTORS - 1 - sector, 1, 1);
	}
	assert_int_equal(cache_cut(&forwards, 0, 50), cache_cut(&backwards, 0, 50));
	for (uint64_t sector = 0; sector < SECTORS; sector++)
		assert_int_equal(value_of(&forwards, sector), value_of(&backwards, sector));
	end(&forwards);
	end(&backwards);
}

static void test_a_full_cache_writes_back(void **state)
{
	struct cache cache;

	(void)state;
	start(&cache, 100, 1);
	for (uint8_t value = 1; value < 6; value++)
		write_value(&cache, 0, SECTORS, value);
	assert_int_equal(cache.versions, 100);
	assert_true(cache.written_back > 0);
	for (uint64_t sector = 0; sector < SECTORS; sector++)
		assert_int_equal(value_of(&cache, sector), 5);
	cache_cut(&cache, 0, 0);
	for (uint64_t sector = 0; sector < SECTORS; sector++)
		assert_in_range(value_of(&cache, sector), 4, 5);
	/* All in one sector. */
	for (unsigned i = 0; i < 1000; i++)
		write_value(&cache, 9, 1, (uint8_t)i);
	assert_in_range(cache.versions, 1, 100);
	assert_int_equal(value_of(&cache, 9), 999 % 256);
	end(&cache);
}

static uint64_t memory_of(const struct cache *cache)
{
	struct stat status;

	assert_int_equal(fstat(cache->store, &status), 0);
	return (uint64_t)status.st_blocks;
}

static void test_zeroes_take_no_room_where_there_was_nothing(void **state)
{
	struct cache cache;

	(void)state;
	start(&cache, PLENTY, 1);
	assert_int_equal(cache_zero(&cache, 0, SECTORS, false), 0);
	assert_int_equal(cache.versions, 0);
	write_value(&cache, 0, 1, 1);
	flush(&cache);
	write_value(&cache, 100, 1, 1);
	assert_int_equal(cache_zero(&cache, 0, SECTORS, false), 0);
	assert_int_equal(cache.dirty_count, 2);
	assert_int_equal(value_of(&cache, 0), 0);
	assert_int_equal(value_of(&cache, 100), 0);
	/* As volatile as writes are. */
	assert_int_equal(durable_value_of(&cache, 0), 1);
	flush(&cache);
	assert_int_equal(durable_value_of(&cache, 0), 0);
	assert_true(memory_of(&cache) < 32);
	assert_int_equal(cache_zero(&cache, 0, SECTORS, true), 0);
	assert_int_equal(cache.dirty_count, SECTORS);
	flush(&cache);
	assert_int_equal(memory_of(&cache), SECTORS);
	end(&cache);
}

static void test_errors_of_the_store_are_told(void **state)
{
	uint8_t data[STORE_SECTOR] = { 1 };
	struct cache cache;
	int good;

	(void)state;
	start(&cache, 2, 1);
	good = cache.store;
	cache.store = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(cache.store >= 0);
	assert_int_equal(cache_write(&cache, 0, 1, data), 0);
	assert_int_equal(cache_write(&cache, 1, 1, data), 0);
	assert_int_equal(cache_write(&cache, 2, 1, data), -ENOSPC);
	assert_int_equal(cache_flush(&cache, cache_mark(&cache), 100), -ENOSPC);
	assert_int_equal(cache_write_through(&cache, 1, 1), -ENOSPC);
	assert_int_equal(cache_read(&cache, 0, 1, data), -EBADF);
	assert_int_equal(cache.versions, 2);
	close(cache.store);
	cache.store = good;
	flush(&cache);
	assert_int_equal(durable_value_of(&cache, 1), 1);
	end(&cache);
}

/* What a sector may hold if the power is cut now; the last one is what it holds. */
struct model {
	uint8_t values[64];
	uint64_t times[64];
	unsigned count;
};

static void model_add(struct model *model, uint64_t count, uint8_t value, uint64_t time)
{
	for (uint64_t i = 0; i < count; i++) {
		model[i].values[model[i].count] = value;
		model[i].times[model[i].count++] = time;
	}
}

/* What came before MARK is durable. */
static void model_flush(struct model *model, uint64_t count, uint64_t mark)
{
	for (uint64_t i = 0; i < count; i++) {
		unsigned first = model[i].count - 1;

		while (first > 0 && model[i].times[first] > mark)
			first--;
		model[i].count -= first;
		memmove(model[i].values, model[i].values + first, model[i].count);
		memmove(model[i].times, model[i].times + first, model[i].count * sizeof(uint64_t));
	}
}

static void model_check(struct model *model, const struct cache *cache)
{
	for (uint64_t i = 0; i < SECTORS; i++)
		assert_int_equal(value_of(cache, i), model[i].values[model[i].count - 1]);
}

static void model_settle(struct model *model, const struct cache *cache)
{
	for (uint64_t i = 0; i < SECTORS; i++) {
		uint8_t value = value_of(cache, i);

		assert_non_null(memchr(model[i].values, value, model[i].count));
		model[i] = (struct model){ .values = { value }, .count = 1 };
	}
}

static void random_round(struct cache *cache, struct model *model, uint64_t *random, uint64_t round)
{
	uint64_t mark = cache_mark(cache);

	for (unsigned i = 0; i < 40; i++) {
		uint64_t first = mix_next(random) % SECTORS;
		uint64_t count = 1 + mix_next(random) % (SECTORS - first);
		uint64_t choice = mix_next(random) % 8;

		if (choice < 5) {
			write_value(cache, first, count, (uint8_t)i);
			model_add(model + first, count, (uint8_t)i, cache_mark(cache));
		} else if (choice == 5) {
			assert_int_equal(cache_zero(cache, first, count, mix_next(random) & 1), 0);
			model_add(model + first, count, 0, cache_mark(cache));
		} else if (choice == 6) {
			assert_int_equal(cache_write_through(cache, first, count), 0);
			model_flush(model + first, count, cache_mark(cache));
		} else {
			assert_int_equal(cache_flush(cache, mark, 100), 0);
			model_flush(model, SECTORS, mark);
			mark = cache_mark(cache);
		}
	}
	model_check(model, cache);
	cache_cut(cache, round, (unsigned)(mix_next(random) % 101));
	model_settle(model, cache);
}

static void test_random_changes_against_a_model(void **state)
{
	static struct model model[SECTORS];

	(void)state;
	for (uint64_t seed = 0; seed < 4; seed++) {
		uint64_t random = seed;
		struct cache cache;

		for (uint64_t i = 0; i < SECTORS; i++)
			model[i] = (struct model){ .count = 1 };
		start(&cache, seed % 2 ? PLENTY : SECTORS / 2, seed);
		for (uint64_t round = 0; round < 20; round++)
			random_round(&cache, model, &random, round);
		end(&cache);
	}
}

static void test_pieces_are_the_whole_once(void **state)
{
	const struct plan_rules rules = { .delay_us = 100, .pieces = 7 };

	(void)state;
	for (uint64_t number = 0; number < 1000; number++) {
		uint8_t seen[20] = { 0 };
		uint64_t sectors = number % 20 + 1;
		struct plan plan;

		plan_make(&plan, &rules, 5, number, sectors);
		assert_in_range(plan.pieces, 1, sectors < 7 ? sectors : 7);
		assert_in_range(plan.wait_ns * plan.pieces, 0, 100000);
		for (uint32_t step = 0; step < plan.pieces; step++) {
			uint64_t first;
			uint64_t count = plan_step(&plan, step, &first);

			assert_true(count > 0 && first + count <= sectors);
			for (uint64_t i = 0; i < count; i++)
				assert_int_equal(seen[first + i]++, 0);
		}
		assert_null(memchr(seen, 0, sectors));
	}
}

static void test_what_is_short_is_a_first_part(void **state)
{
	const struct plan_rules rules = { .pieces = 5, .short_per_million = 1000000 };
	bool different[17] = { false };

	(void)state;
	for (uint64_t number = 0; number < 1000; number++) {
		uint64_t done = 0, first;
		struct plan plan;

		plan_make(&plan, &rules, 5, number, 16);
		assert_true(plan.fails);
		for (uint32_t step = 0; step < plan.pieces; step++) {
			uint64_t count = plan_step(&plan, step, &first);

			assert_true(count == 0 || first + count <= plan.whole);
			done += count;
		}
		assert_int_equal(done, plan.whole);
		different[done] = true;
	}
	for (unsigned i = 0; i <= 16; i++)
		assert_true(different[i]);
}

static void test_failures_come_as_often_as_they_should(void **state)
{
	const struct plan_rules rules = { .fail_per_million = 200000, .short_per_million = 300000 };
	unsigned failed = 0, shortened = 0;

	(void)state;
	for (uint64_t number = 0; number < 10000; number++) {
		struct plan plan, again;

		memset(&plan, 0, sizeof(plan));
		memset(&again, 0, sizeof(again));
		plan_make(&plan, &rules, 9, number, 1000000);
		plan_make(&again, &rules, 9, number, 1000000);
		assert_memory_equal(&plan, &again, sizeof(plan));
		failed += plan.fails && plan.whole == 0;
		shortened += plan.fails && plan.whole;
		assert_true(plan.fails || (plan.whole == 1000000 && plan.percent == 100));
	}
	assert_in_range(failed, 1800, 2200);
	assert_in_range(shortened, 2700, 3300);
}

static void test_the_data_lies_in_any_segments(void **state)
{
	uint8_t data[100 * STORE_SECTOR], back[sizeof(data)];
	struct iovec from[] = { { data, 3 }, { data + 3, 50000 }, { data + 50003, sizeof(data) - 50003 } };
	struct iovec to[] = { { back, 700 }, { back + 700, 1 }, { back + 701, sizeof(back) - 701 } };
	struct platter_request request = { .op = PLATTER_OP_WRITE, .iov = from, .iovcnt = 3, .offset = 10 * STORE_SECTOR,
					   .length = sizeof(data) };
	struct cache cache;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)mix(i);
	memset(back, 0, sizeof(back));
	start(&cache, PLENTY, 1);
	assert_int_equal(sectors_do(&cache, &request, 70, 30, true), 0);
	assert_int_equal(cache.dirty_count, 30);
	assert_int_equal(sectors_do(&cache, &request, 0, 70, true), 0);
	request = (struct platter_request){ .op = PLATTER_OP_READ, .iov = to, .iovcnt = 3, .offset = 10 * STORE_SECTOR,
					    .length = sizeof(data) };
	assert_int_equal(sectors_do(&cache, &request, 1, 99, true), 0);
	assert_int_equal(sectors_do(&cache, &request, 0, 1, true), 0);
	assert_memory_equal(data, back, sizeof(data));
	request = (struct platter_request){ .op = PLATTER_OP_TRIM, .flags = PLATTER_REQ_FUA, .offset = 10 * STORE_SECTOR,
					    .length = sizeof(data) };
	assert_int_equal(sectors_do(&cache, &request, 0, 50, false), 0);
	assert_int_equal(cache.dirty_count, 100);
	assert_int_equal(sectors_do(&cache, &request, 50, 50, true), 0);
	assert_int_equal(cache.dirty_count, 50);
	end(&cache);
}

static void test_a_store_in_a_file(void **state)
{
	char directory[] = "/tmp/platter-XXXXXX", path[64];
	struct platter_error error;
	uint64_t bytes = 1000;
	int store;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/store", directory);
	assert_int_equal(store_open("x", directory, &bytes, &error), -EISDIR);
	assert_int_equal(store_open("x", "/dev/null", &bytes, &error), -EINVAL);
	assert_int_equal(store_open("x", path, &bytes, &error), -EINVAL);
	assert_non_null(strstr(error.text, "multiple of 512"));
	bytes = 0;
	assert_int_equal(store_open("x", path, &bytes, &error), -EINVAL);
	bytes = 8192;
	store = store_open("x", path, &bytes, &error);
	assert_true(store >= 0);
	assert_int_equal(store_open("y", path, &bytes, &error), -EBUSY);
	close(store);
	bytes = 4096;
	assert_int_equal(store_open("x", path, &bytes, &error), -EINVAL);
	assert_non_null(strstr(error.text, "has 8192 bytes"));
	bytes = 0;
	store = store_open("x", path, &bytes, &error);
	assert_true(store >= 0);
	assert_int_equal(bytes, 8192);
	close(store);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_flushed_is_only_in_the_cache),
		cmocka_unit_test(test_a_flush_covers_what_came_before_its_mark),
		cmocka_unit_test(test_writing_through_takes_its_own_sectors_only),
		cmocka_unit_test(test_a_cut_keeps_any_version_or_none),
		cmocka_unit_test(test_a_cut_depends_on_no_order),
		cmocka_unit_test(test_a_full_cache_writes_back),
		cmocka_unit_test(test_zeroes_take_no_room_where_there_was_nothing),
		cmocka_unit_test(test_errors_of_the_store_are_told),
		cmocka_unit_test(test_random_changes_against_a_model),
		cmocka_unit_test(test_pieces_are_the_whole_once),
		cmocka_unit_test(test_what_is_short_is_a_first_part),
		cmocka_unit_test(test_failures_come_as_often_as_they_should),
		cmocka_unit_test(test_the_data_lies_in_any_segments),
		cmocka_unit_test(test_a_store_in_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
