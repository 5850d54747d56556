/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/trial.h"

/* What is measured of a way: so many, so often. */
#define SAMPLES 32
_Static_assert(TRIAL_BATCHES > 2 * TRIAL_WORST, "most of them count");

/* The pauses between, ns. */
#define FIRST_PAUSE UINT64_C(1000000000)
#define LONGEST_PAUSE (64 * FIRST_PAUSE)

/* Where so little comes that a way isn't measured in that time, ns, the answer isn't worth it. */
#define LONGEST_TRY (10 * FIRST_PAUSE)

static void go(struct trial *trial, unsigned way, uint64_t now)
{
	trial->way = way;
	trial->since = now;
	trial->sum = trial->count = 0;
	trial->batches = 0;
}

void trial_init(struct trial *trial)
{
	*trial = (struct trial){ .trying = true, .pause = FIRST_PAUSE };

}

/* Both have been tried.  The other one has to be better by a twentieth. */
static void conclude(struct trial *trial, uint64_t now)
{
	unsigned best = trial->took[1] < trial->took[0] - trial->took[0] / 20;

	if (best != trial->best)
		trial->pause = FIRST_PAUSE;
	else if (trial->pause < LONGEST_PAUSE)
		trial->pause *= 2;
	trial->best = best;
	trial->trying = false;
	trial->again = now + trial->pause;
	trial->tried = 0;
	go(trial, best, now);
}

/* No answer: what was best stays. */
static void give_up(struct trial *trial, uint64_t now)
{
	trial->trying = false;
	trial->again = now + trial->pause;
	trial->tried = 0;
	go(trial, trial->best, now);
}

/* In the worst batches something else got in the way. */
static uint64_t sum_without_worst(const struct trial *trial)
{
	uint64_t sorted[TRIAL_BATCHES], sum = 0;

	for (unsigned i = 0; i < TRIAL_BATCHES; i++) {
		unsigned at = i;

		for (; at && sorted[at - 1] > trial->batch[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = trial->batch[i];
	}
	for (unsigned i = 0; i < TRIAL_BATCHES - TRIAL_WORST; i++)
		sum += sorted[i];
	return sum;
}

static void end_batch(struct trial *trial, uint64_t now)
{
	trial->batch[trial->batches++] = trial->sum;
	trial->sum = trial->count = 0;
	if (trial->batches < TRIAL_BATCHES)
		return;
	trial->took[trial->way] = sum_without_worst(trial);
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
		give_up(trial, now);
		return;
	}
	if (!trial->since)
		trial->since = start;
	/* Before that it was another way, or the driver was full of what had gone that. */
	if (start < trial->since)
		return;
	trial->sum += now - start;
	if (++trial->count == SAMPLES)
		end_batch(trial, now);
}
