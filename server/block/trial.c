/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/trial.h"

/* What is measured of a way: so many, so often. */
#define SAMPLES 32
#define BATCHES 16

/* The pauses between, ns. */
#define FIRST_PAUSE UINT64_C(1000000000)
#define LONGEST_PAUSE (64 * FIRST_PAUSE)

/* Where so little comes that a way isn't measured in that time, ns, the answer isn't worth it. */
#define LONGEST_TRY (10 * FIRST_PAUSE)

static void go(struct trial *trial, unsigned way, uint64_t now)
{
	trial->way = way;
	trial->since = now;
	trial->batch = trial->count = 0;
	trial->sum = trial->worst = trial->batches = 0;
}

void trial_init(struct trial *trial)
{
	*trial = (struct trial){ .trying = true, .pause = FIRST_PAUSE };
}

/* The BEST way is used, until both are tried again. */
static void settle(struct trial *trial, unsigned best, uint64_t now)
{
	trial->best = best;
	trial->trying = false;
	trial->again = now + trial->pause;
	trial->tried = 0;
	go(trial, best, now);
}

/* Both have been tried.  The other one has to be better by a twentieth. */
static void conclude(struct trial *trial, uint64_t now)
{
	unsigned best = trial->took[1] < trial->took[0] - trial->took[0] / 20;

	if (best != trial->best)
		trial->pause = FIRST_PAUSE;
	else if (trial->pause < LONGEST_PAUSE)
		trial->pause *= 2;
	settle(trial, best, now);
}

static void end_batch(struct trial *trial, uint64_t now)
{
	trial->sum += trial->batch;
	if (trial->batch > trial->worst)
		trial->worst = trial->batch;
	trial->batch = trial->count = 0;
	if (++trial->batches < BATCHES)
		return;
	/* In the worst batch something else got in the way. */
	trial->took[trial->way] = trial->sum - trial->worst;
	if (++trial->tried == 2)
		conclude(trial, now);
	else
		go(trial, !trial->way, now);
}

void trial_add(struct trial *trial, uint64_t start, uint64_t now)
{
	if (!trial->trying) {
		if (now < trial->again)
			return;
		trial->trying = true;
		go(trial, trial->way, now);
	}
	if (trial->since && now - trial->since > LONGEST_TRY) {
		settle(trial, trial->best, now);
		return;
	}
	if (!trial->since)
		trial->since = start;
	/* Before that it was another way, or the driver was full of what had gone that. */
	if (start < trial->since)
		return;
	trial->batch += now - start;
	if (++trial->count == SAMPLES)
		end_batch(trial, now);
}
