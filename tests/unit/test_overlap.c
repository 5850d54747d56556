/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of the same data wait for each other, whatever their length: against all pairs of them, at random. */
#include "server/block/overlap.h"

#include "server/block/request.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

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
static const char owners[OWNERS];
static uint64_t state;

static uint64_t below(uint64_t limit)
{
	return (mutate_random(&state) >> 8) % limit;
}

static bool overlap(const struct request *a, const struct request *b)
{
	return a->driver.offset < b->driver.offset + b->driver.length && b->driver.offset < a->driver.offset + a->driver.length;
}

/* Each may start if it overlaps nobody who came before. */
static void check(unsigned round)
{
	for (unsigned i = 0; i < count; i++) {
		bool free = true;

		for (unsigned j = 0; j < i; j++)
			free &= !overlap(present[i], present[j]);
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
}

static void enter(struct request *request)
{
	entered[request - requests] = overlap_enter(&overlaps, request);
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
		unsigned place_bits = 4 + (unsigned)below(32), length_bits = (unsigned)below(place_bits + 1);

		reset();
		for (unsigned step = 0; step < STEPS || count; step++) {
			if (count < MOST_AT_RANDOM && step < STEPS && below(5) < 3)
				begin(&owners[below(OWNERS)], below(UINT64_C(1) << place_bits),
				      1 + below(UINT64_C(1) << below(length_bits + 1)));
			else if (count)
				end_or_drop(present[below(count)]);
			check(round);
		}
		assert_int_equal(overlaps.entered.count + overlaps.blocked.count, 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_wait_for_all_that_they_overlap),
		cmocka_unit_test(test_a_long_one_keeps_its_order_among_short_ones),
		cmocka_unit_test(test_one_across_granules_keeps_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
