/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that requests' data may take on one thread.  Whoever finds no
 * room waits in line; who has nothing yet is always let in, so that everybody
 * gets on.
 */
#ifndef BLOCK_BUDGET_H
#define BLOCK_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"

struct budget {
	uint64_t limit, used; /* bytes */
	struct list_head waiters;
};

struct budget_waiter {
	struct list_head link;
	/* There may be room now: try again.  Called from within these functions: only make a note. */
	void (*ready)(struct budget_waiter *waiter);
};

void budget_init(struct budget *budget, uint64_t limit);

/*
 * Takes BYTES; false when they aren't there or others wait already: the waiter
 * is then in line.  FIRST: whoever asks has no other share.
 */
bool budget_take(struct budget *budget, uint64_t bytes, bool first, struct budget_waiter *waiter);
void budget_release(struct budget *budget, uint64_t bytes);

/* Leaves the line, if the waiter is in it; the next one may have room. */
void budget_forget(struct budget *budget, struct budget_waiter *waiter);

#endif
