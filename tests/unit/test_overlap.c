/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of the same data wait for each other, whatever their length: against all pairs of them, at random. */
#include "server/block/request.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

/* The code itself, of which each request that it looks at counts. */
static unsigned long looks;
#undef container_of
#define container_of(pointer, type, member) (looks++, (type *)(void *)((char *)(pointer)-offsetof(type, member)))
#include "server/block/overlap.c"

#define ROUNDS 2000
#define STEPS 200
#define MOST 4096
#define MOST_AT_RANDOM 24
#define OWNERS 3
#define KIB UINT64_C(1024)

static struct overlaps overlaps;
static struct request requests[MOST];
static struct request *present[MOST]; /* those that have not ended, in the order of arrival */
static bool entered[MOST], used[MOST];
static unsigned count;
static unsigned long most_looks; /* of one change, to enter */
static const char owners[OWNERS];
static uint64_t state;

static uint64_t below(uint64_t limit)
{
	return (mutate_random(&state) >> 8) % limit;
}

static bool meet(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset + b->driver.length && b->driver.offset < a->driver.offset + a->driver.length;
}

/* Each may start if it overlaps nobody who came before. */
static void check(unsigned round)
{
	for (unsigned i = 0; i < count; i++) {
		bool free = true;

		for (unsigned j = 0; j < i; j++)
			free &= !meet(present[i], present[j]);
		if (entered[present[i] - requests] != free)
			fail_msg("round %u: a change of %ju bytes at %ju, place %u of %u, started: %d", round,
				 (uintmax_t)present[i]->driver.length, (uintmax_t)present[i]->driver.offset, i, count, !free);
	}
}

static void reset(void)
{
	overlap_init(&overlaps);
	memset(used, 0, sizeof(used));
	count = 0;
	most_looks = 0;
}

static void enter(struct request *request)
{
	unsigned long before = looks;

	entered[request - requests] = overlap_enter(&overlaps, request);
	if (looks - before > most_looks)
		most_looks = looks - before;
}

static struct request *begin(const void *owner, uint64_t offset, uint64_t length)
{
	unsigned number = 0;
	struct request *request;

	while (used[number])
		number++;
	request = &requests[number];
	*request = (struct request){ .owner = (void *)(uintptr_t)owner, .driver = { .offset = offset, .length = length } };
	list_init(&request->change);
	list_init(&request->wait);
	list_init(&request->waiters);
	used[number] = true;
	present[count++] = request;
	enter(request);
	return request;
}

/* It is no longer there; who waited for it looks again. */
static void end(struct request *request)
{
	struct list_head *node;
	unsigned place = 0;

	while (present[place] != request)
		place++;
	count--;
	memmove(&present[place], &present[place + 1], (count - place) * sizeof(*present));
	used[request - requests] = false;
	overlap_leave(&overlaps, request);
	while ((node = list_pop(&request->waiters)))
		enter(container_of(node, struct request, link));
}

/* All of an owner's that wait are dropped, in the order of arrival. */
static void drop(const void *owner)
{
	struct list_head taken, *node;
	unsigned left = 0, first = 0;

	list_init(&taken);
	overlap_take_waiting(&overlaps, owner, &taken);
	for (unsigned i = 0; i < count; i++)
		left += present[i]->owner == owner && !entered[present[i] - requests];
	for (; (node = list_pop(&taken)); left--) {
		struct request *request = container_of(node, struct request, link);

		while (present[first]->owner != owner || entered[present[first] - requests])
			first++;
		assert_ptr_equal(request, present[first]);
		assert_true(list_empty(&request->wait));
		end(request);
	}
	assert_int_equal(left, 0);
}

/* One that has started ends, or its owner goes. */
static void end_or_drop(struct request *request)
{
	if (entered[request - requests])
		end(request);
	else
		drop(request->owner);
}

static void test_changes_wait_for_all_that_they_overlap(void **unused)
{
	(void)unused;
	state = mutate_seed();
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* Half of them in large units: then there are many of the same range, and few in each granule. */
		unsigned unit_bits = (unsigned)below(2) * (12 + (unsigned)below(6));
		unsigned place_bits = 3 + (unsigned)below(unit_bits ? 4 : 33), length_bits = (unsigned)below(place_bits + 1);

		reset();
		for (unsigned step = 0; step < STEPS || count; step++) {
			if (count < MOST_AT_RANDOM && step < STEPS && below(5) < 3)
				begin(&owners[below(OWNERS)], below(UINT64_C(1) << place_bits) << unit_bits,
				      (1 + below(UINT64_C(1) << below(length_bits + 1))) << unit_bits);
			else if (count)
				end_or_drop(present[below(count)]);
			check(round);
		}
		for (unsigned level = 0; level < OVERLAP_LEVELS; level++)
			assert_int_equal(overlaps.entered.count[level] + overlaps.blocked.count[level], 0);
		assert_true(list_empty(&overlaps.waiting));
	}
}

/* Which have started; all that are there, in the order of arrival: 1 for each that has. */
static void assert_started(const char *expected)
{
	char text[16] = "";

	for (unsigned i = 0; i < count; i++)
		text[i] = entered[present[i] - requests] ? '1' : '0';
	assert_string_equal(text, expected);
}

/* The order holds between those that are found in different places, too. */
static void test_a_long_one_keeps_its_order_among_short_ones(void **unused)
{
	struct request *first, *second, *before, *longer;

	(void)unused;
	reset();
	first = begin(NULL, 0, 4 * KIB);
	second = begin(NULL, 320 * KIB, 4 * KIB);
	before = begin(NULL, 0, 4 * KIB);
	longer = begin(NULL, 0, 512 * KIB);
	begin(NULL, 0, 4 * KIB);
	begin(NULL, 64 * KIB, 4 * KIB); /* where the long one is the only other one */
	begin(NULL, 320 * KIB, 4 * KIB);
	assert_started("1100000");
	end(second); /* for which nobody waits: the last one came after the long one */
	assert_started("100000");
	end(first);
	assert_started("10000");
	end(before);
	assert_started("1000");
	end(longer);
	assert_started("111");
	while (count)
		end(present[0]);
}

/* One that lies in two granules is in order with those of both. */
static void test_one_across_granules_keeps_its_order(void **unused)
{
	struct request *left, *right, *across;

	(void)unused;
	reset();
	left = begin(NULL, 60 * KIB, 4 * KIB);
	right = begin(NULL, 64 * KIB, 4 * KIB);
	begin(NULL, 64 * KIB, 4 * KIB);
	across = begin(NULL, 60 * KIB, 8 * KIB);
	begin(NULL, 64 * KIB, 4 * KIB);
	begin(NULL, 60 * KIB, 4 * KIB);
	assert_started("110000");
	end(right);
	assert_started("11000");
	end(present[1]);
	assert_started("1000");
	end(left);
	assert_started("100");
	end(across);
	assert_started("11");
	while (count)
		end(present[0]);
}

/* FIRST is not to be forgotten for LAST, which covers it: MIDDLE comes between them, and looks again while FIRST is there. */
static void try_three(uint64_t start_of_middle, bool last_looks_again)
{
	struct request *first, *middle, *last, *for_first, *for_middle[2], *for_last[2];

	reset();
	for_first = begin(NULL, 84 * KIB, 2 * KIB);
	for_middle[0] = begin(NULL, 64 * KIB, KIB);
	first = begin(NULL, 70 * KIB, 20 * KIB);
	for_middle[1] = begin(NULL, 64 * KIB, 2 * KIB);
	middle = begin(NULL, start_of_middle, 80 * KIB - start_of_middle);
	if (last_looks_again) {
		for_last[0] = begin(NULL, 90 * KIB, KIB);
		for_last[1] = begin(NULL, 90 * KIB, 2 * KIB);
	}
	last = begin(NULL, 70 * KIB, 22 * KIB);
	for (unsigned i = 0; i < 2 && last_looks_again; i++)
		end(for_last[i]);
	assert_started("110000");
	end(for_middle[0]);
	assert_started("10100");
	end(for_middle[1]);
	assert_started("1000");
	end(for_first);
	end(first);
	assert_started("10");
	end(middle);
	end(last);
}

static void test_the_latest_is_waited_for(void **unused)
{
	(void)unused;
	for (unsigned again = 0; again < 2; again++) {
		try_three(60 * KIB, again); /* in another granule */
		try_three(64 * KIB, again);
	}
}

/* One that was covered is found when who covered it has gone. */
static void test_one_whose_waiter_is_dropped_keeps_its_order(void **unused)
{
	struct request *running, *waiting;

	(void)unused;
	reset();
	running = begin(&owners[0], 0, 4 * KIB);
	waiting = begin(&owners[0], 0, 8 * KIB);
	begin(&owners[1], 0, 8 * KIB);
	drop(&owners[1]);
	begin(&owners[0], 4 * KIB, 4 * KIB);
	assert_started("100");
	end(running);
	assert_started("10");
	end(waiting);
	assert_started("1");
	end(present[0]);
}

/* However many wait for one block, its neighbours meet one of them, and so do these when they look again. */
static void test_few_are_met_where_many_wait_for_one_block(void **unused)
{
	(void)unused;
	reset();
	while (count < MOST - 1)
		begin(NULL, 4 * KIB, 4 * KIB);
	for (unsigned i = 0; i < 16; i++)
		if (i != 1)
			end(begin(NULL, i * 4 * KIB, 4 * KIB));
	while (count) {
		assert_true(entered[present[0] - requests]);
		end(present[0]);
	}
	assert_in_range(most_looks, 1, 2);
}

/* Those that overlap in part all are to be found; but none has to look at many. */
static void test_few_are_met_by_many_that_overlap_in_part(void **unused)
{
	(void)unused;
	reset();
	while (count < MOST)
		begin(NULL, count % 2 * KIB, 2 * KIB);
	while (count)
		end(present[0]);
	assert_in_range(most_looks, 1, 2);
}

/* Nor do others, elsewhere, meet many long ones: those that run, or wait and overlap in part. */
static void test_few_are_met_where_there_are_many_long_ones(void **unused)
{
	(void)unused;
	for (uint64_t length = 128 * KIB; length <= 8192 * KIB; length *= 4) {
		reset();
		while (count < MOST - 2)
			begin(NULL, count * length, length);
		end(begin(NULL, count * length, 4 * KIB));
		end(begin(NULL, (count + 1) * length, length));
		while (count) {
			assert_true(entered[present[0] - requests]);
			end(present[0]);
		}
		assert_in_range(most_looks, 1, MOST / 32);
		reset();
		while (count < MOST - 2)
			begin(NULL, count % 2 * KIB, length);
		end(begin(NULL, 1024 * 1024 * KIB, 4 * KIB));
		end(begin(NULL, 1024 * 1024 * KIB, length));
		while (count)
			end(present[0]);
		assert_in_range(most_looks, 1, 2);
	}
}

/* Blocks of a granule of which many wait for each, whether they come in turn or one block's after the other's. */
static void test_few_are_met_in_a_busy_granule(void **unused)
{
	(void)unused;
	for (unsigned in_turn = 0; in_turn < 2; in_turn++) {
		reset();
		while (count < MOST)
			begin(NULL, (in_turn ? count % 16 : count / (MOST / 16)) * 4 * KIB, 4 * KIB);
		while (count) {
			unsigned place = in_turn ? 0 : count - 1;

			while (!entered[present[place] - requests])
				place--;
			end(present[place]);
		}
		assert_in_range(most_looks, 1, 33);
	}
}

/* A hang-up looks at each that waits a few times, and spoils nothing of this for the others. */
static void test_many_are_dropped_in_one_walk(void **unused)
{
	(void)unused;
	reset();
	while (count < MOST)
		begin(&owners[count % OWNERS], 4 * KIB, 4 * KIB);
	for (unsigned i = 0; i < OWNERS; i++) {
		unsigned long before = looks;

		drop(&owners[i]);
		assert_in_range(looks - before, 0, 5 * MOST);
		end(begin(&owners[i], 8 * KIB, 4 * KIB));
	}
	assert_int_equal(count, 1);
	assert_in_range(most_looks, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_wait_for_all_that_they_overlap),
		cmocka_unit_test(test_a_long_one_keeps_its_order_among_short_ones),
		cmocka_unit_test(test_one_across_granules_keeps_its_order),
		cmocka_unit_test(test_the_latest_is_waited_for),
		cmocka_unit_test(test_one_whose_waiter_is_dropped_keeps_its_order),
		cmocka_unit_test(test_few_are_met_where_many_wait_for_one_block),
		cmocka_unit_test(test_few_are_met_by_many_that_overlap_in_part),
		cmocka_unit_test(test_few_are_met_where_there_are_many_long_ones),
		cmocka_unit_test(test_few_are_met_in_a_busy_granule),
		cmocka_unit_test(test_many_are_dropped_in_one_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
