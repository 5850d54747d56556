/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/block_round.h"

#include <err.h>
#include <time.h>

#include "server/block/block.h"
#include "server/block/buffer.h"
#include "server/block/disk.h"
#include "server/block/request.h"

static uint64_t next_offset(struct round *round)
{
	uint64_t blocks = round->disk->geometry.bytes / ROUND_BLOCK;
	uint64_t block;

	if (round->random) { /* xorshift64* */
		round->random_state ^= round->random_state >> 12;
		round->random_state ^= round->random_state << 25;
		round->random_state ^= round->random_state >> 27;
		block = round->random_state * UINT64_C(0x2545f4914f6cdd1d);
		return (uint64_t)(((unsigned __int128)block * blocks) >> 64) * ROUND_BLOCK;
	}
	block = round->next_block++;
	if (round->next_block == blocks)
		round->next_block = 0;
	return block * ROUND_BLOCK;
}

static void done(struct request *request)
{
	struct round *round = request->owner;

	round->ended++;
	round->failed += request->error != 0;
	request_put(request);
}

/* As a session does: a write's payload is used where it lies; a read has memory, unless it is lent the driver's. */
static void give_data(struct round *round, struct request *request)
{
	if (round->write)
		request_borrow(request, round->payload, round->payload->memory);
	else if (!(round->disk->geometry.capabilities & PLATTER_DISK_LENDS) && request_allocate(request) < 0)
		errx(1, "out of memory");
}

static void add(struct round *round)
{
	struct request *request = request_get(round->block);

	if (!request)
		errx(1, "out of memory");
	request->done = done;
	request->owner = round;
	request->from = round->software;
	request->driver.op = round->write ? PLATTER_OP_WRITE : PLATTER_OP_READ;
	request->driver.flags = 0;
	request->driver.offset = next_offset(round);
	request->driver.length = ROUND_BLOCK;
	give_data(round, request);
	round->asked++;
	disk_submit(round->disk, round->block, request);
}

static void run(struct round *round, uint64_t count)
{
	while (count) {
		uint64_t batch = count < round->depth ? count : round->depth;

		for (uint64_t i = 0; i < batch; i++)
			add(round);
		do {
			block_dispatch(round->block);
		} while (block_has_work(round->block));
		count -= batch;
	}
}

/* What others do meanwhile isn't in it. */
static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

uint64_t block_round(struct round *round)
{
	uint64_t start = cpu_ns();

	run(round, round->count);
	return cpu_ns() - start;
}

void block_round_fill(struct round *round, uint64_t bytes)
{
	struct round fill = *round;

	fill.write = true;
	fill.random = false;
	fill.next_block = 0;
	run(&fill, bytes / ROUND_BLOCK);
	round->asked += fill.asked;
	round->ended += fill.ended;
	round->failed += fill.failed;
}
