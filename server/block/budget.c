/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/budget.h"

void budget_init(struct budget *budget, uint64_t limit)
{
	budget->limit = limit;
	budget->used = 0;
	list_init(&budget->waiters);
}

static bool fits(const struct budget *budget, uint64_t bytes)
{
	return budget->used < budget->limit && bytes <= budget->limit - budget->used;
}

static void wake_first(struct budget *budget)
{
	struct budget_waiter *waiter;

	if (list_empty(&budget->waiters) || budget->used >= budget->limit)
		return;
	waiter = list_first_entry(&budget->waiters, struct budget_waiter, link);
	waiter->ready(waiter);
}

bool budget_take(struct budget *budget, uint64_t bytes, bool first, struct budget_waiter *waiter)
{
	bool others = !list_empty(&budget->waiters) && budget->waiters.next != &waiter->link;

	if (!first && (others || !fits(budget, bytes))) {
		if (list_empty(&waiter->link))
			list_add_tail(&waiter->link, &budget->waiters);
		return false;
	}
	list_del_init(&waiter->link);
	budget->used += bytes;
	wake_first(budget);
	return true;
}

void budget_release(struct budget *budget, uint64_t bytes)
{
	budget->used -= bytes;
	wake_first(budget);
}

void budget_forget(struct budget *budget, struct budget_waiter *waiter)
{
	if (list_empty(&waiter->link))
		return;
	list_del_init(&waiter->link);
	wake_first(budget);
}
