/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugins/volatile/plan.h"

#include "plugins/volatile/mix.h"

void plan_make(struct plan *plan, const struct plan_rules *rules, uint64_t seed, uint64_t number, uint64_t sectors)
{
	uint64_t random = mix_of(seed, number);
	uint64_t most_pieces = sectors < rules->pieces ? sectors : rules->pieces;
	uint64_t fate, delay_ns;

	/* Each number is drawn whether it is used or not: a change of one rule leaves what follows from the others. */
	*plan = (struct plan){ .sectors = sectors, .whole = sectors, .percent = 100 };
	delay_ns = mix_next(&random) % (rules->delay_us * 1000 + 1);
	plan->pieces = (uint32_t)(1 + mix_next(&random) % (most_pieces ? most_pieces : 1));
	plan->first_piece = (uint32_t)(mix_next(&random) % plan->pieces);
	plan->backwards = mix_next(&random) & 1;
	plan->wait_ns = delay_ns / plan->pieces;
	fate = mix_next(&random) % 1000000;
	if (fate < rules->fail_per_million) {
		plan->fails = true;
		plan->whole = 0;
		plan->percent = 0;
	} else if (fate - rules->fail_per_million < rules->short_per_million) {
		plan->fails = true;
		plan->whole = mix_next(&random) % (sectors + 1);
		plan->percent = (uint8_t)(mix_next(&random) % 101);
	}
}

uint64_t plan_step(const struct plan *plan, uint32_t step, uint64_t *first)
{
	uint32_t turn = plan->backwards ? plan->pieces - step : step;
	uint64_t piece = (plan->first_piece + turn) % plan->pieces;
	uint64_t end = (piece + 1) * plan->sectors / plan->pieces;

	*first = piece * plan->sectors / plan->pieces;
	if (end > plan->whole)
		end = plan->whole;
	return end > *first ? end - *first : 0;
}
