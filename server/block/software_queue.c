/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/software_queue.h"

#include <limits.h>

#include "server/block/queue.h"
#include "server/block/request.h"

/* Users are counted so often, ns; who has sent nothing for so many counts is none any more. */
#define COUNT_EVERY UINT64_C(100000000)
#define IDLE_COUNTS 10

void software_queues_init(struct software_queues *all)
{
	for (unsigned i = 0; i < SOFTWARE_SIDES; i++) {
		list_init(&all->ready[i]);
		list_init(&all->full[i]);
	}
	list_init(&all->users);
}

void software_queue_init(struct software_queue *software)
{
	*software = (struct software_queue){ .account = NULL };
	for (unsigned i = 0; i < SOFTWARE_SIDES; i++) {
		list_init(&software->side[i].requests);
		list_init(&software->side[i].turn);
	}
	list_init(&software->user);
}

void software_queues_refresh(struct queue *queue)
{
	struct software_queues *all = &queue->software;
	unsigned depth = queue->limits.queue_depth;
	unsigned fair = all->least > queue->limits.fair_depth ? all->least : queue->limits.fair_depth;
	uint64_t others = (uint64_t)all->least * (all->count - 1);
	unsigned left;

	if (all->count < 2) {
		all->places = UINT_MAX;
		return;
	}
	left = depth / all->count;
	if (others < depth && depth - others > left)
		left = depth - (unsigned)others;
	all->places = fair < left ? fair : left;
	if (all->places == 0)
		all->places = 1;
}

static void user_gone(struct queue *queue, struct software_queue *software)
{
	list_del_init(&software->user);
	queue->software.count--;
}

/* Whether it is still a user; then what it has had open is what it is expected to. */
static bool is_still_user(struct software_queue *software)
{
	if (software->most) {
		software->peak = software->most;
		software->idle = 0;
	} else {
		software->idle++;
	}
	software->most = software->open;
	return software->idle < IDLE_COUNTS;
}

void software_queues_count(struct queue *queue)
{
	struct software_queues *all = &queue->software;
	struct list_head *node, *following;

	if (all->count < 2 || queue->now < all->count_at)
		return;
	all->count_at = queue->now + COUNT_EVERY;
	all->least = UINT_MAX;
	list_for_each_safe(node, following, &all->users) {
		struct software_queue *software = container_of(node, struct software_queue, user);

		if (!is_still_user(software))
			user_gone(queue, software);
		else if (software->peak < all->least)
			all->least = software->peak;
	}
	software_queues_refresh(queue);
}

void software_queue_leave(struct software_queue *software)
{
	if (list_empty(&software->user))
		return;
	user_gone(software->queue, software);
	software_queues_refresh(software->queue);
}

/* What it will have open isn't known before users are counted again. */
static void user_came(struct queue *queue, struct software_queue *software)
{
	struct software_queues *all = &queue->software;

	software->queue = queue;
	software->idle = 0;
	list_add_tail(&software->user, &all->users);
	all->count++;
	all->least = 0;
	/* Not before it could show it; but many that come don't put that off for ever. */
	if (all->count_at < queue->block->now)
		all->count_at = queue->block->now + COUNT_EVERY;
	software_queues_refresh(queue);
}

void software_queue_opened(struct queue *queue, const struct request *request)
{
	struct software_queue *software = request->from;

	if (list_empty(&software->user))
		user_came(queue, software);
	if (++software->open > software->most)
		software->most = software->open;
}

void software_queue_closed(const struct request *request)
{
	request->from->open--;
}

bool software_queue_is_full(const struct queue *queue, const struct software_queue *software, unsigned least)
{
	return software->places >= queue->software.places && software->places >= least;
}

void software_queue_take_place(struct software_queue *software)
{
	software->places++;
}

/* It takes turns again: whether it has places enough is seen when that comes. */
static void reopen(struct software_queue *software)
{
	software->full = false;
	for (unsigned i = 0; i < SOFTWARE_SIDES; i++) {
		if (list_empty(&software->side[i].requests))
			continue;
		list_del_init(&software->side[i].turn);
		list_add_tail(&software->side[i].turn, &software->queue->software.ready[i]);
	}
}

void software_queue_give_back(struct software_queue *software)
{
	software->places--;
	if (software->full)
		reopen(software);
}

void software_queue_insert(struct queue *queue, struct request *request, enum software_side side)
{
	struct software_queue *from = request->from;

	list_add_tail(&request->link, &from->side[side].requests);
	if (list_empty(&from->side[side].turn))
		list_add_tail(&from->side[side].turn, &queue->software.ready[side]);
}

void software_queue_remove(struct queue *queue, struct request *request, enum software_side side)
{
	struct software_queue *from = request->from;

	list_del_init(&request->link);
	list_del_init(&from->side[side].turn);
	if (!list_empty(&from->side[side].requests))
		list_add_tail(&from->side[side].turn, &queue->software.ready[side]);
}

struct request *software_queue_next(struct queue *queue, enum software_side side, unsigned least)
{
	struct software_queues *all = &queue->software;

	while (!list_empty(&all->ready[side])) {
		struct software_side_list *first = list_first_entry(&all->ready[side], struct software_side_list, turn);
		struct request *request = list_first_entry(&first->requests, struct request, link);

		if (!software_queue_is_full(queue, request->from, least))
			return request;
		request->from->full = true;
		list_del_init(&first->turn);
		list_add_tail(&first->turn, &all->full[side]);
	}
	return NULL;
}

static struct request *find_in(const struct list_head *turns, bool (*fits)(const struct request *request, const void *owner),
			       const void *owner)
{
	struct list_head *turn, *node;

	list_for_each(turn, turns) {
		list_for_each(node, &container_of(turn, struct software_side_list, turn)->requests) {
			struct request *request = container_of(node, struct request, link);

			if (fits(request, owner))
				return request;
		}
	}
	return NULL;
}

struct request *software_queue_find(struct queue *queue, enum software_side side,
				    bool (*fits)(const struct request *request, const void *owner), const void *owner)
{
	struct request *found = find_in(&queue->software.ready[side], fits, owner);

	return found ? found : find_in(&queue->software.full[side], fits, owner);
}
