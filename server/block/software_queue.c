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

static void user_gone(struct software_queues *all, struct software_queue *software)
{
	list_del_init(&software->user);
	all->count--;
	all->sum -= software->peak;
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
	all->sum = 0;
	list_for_each_safe(node, following, &all->users) {
		struct software_queue *software = container_of(node, struct software_queue, user);
		bool stays = is_still_user(software);

		all->sum += software->peak;
		if (!stays)
			user_gone(all, software);
		else if (software->peak < all->least)
			all->least = software->peak;
	}
}

void software_queue_leave(struct software_queue *software)
{
	if (!list_empty(&software->user))
		user_gone(&software->queue->software, software);
}

/* How many it will have open isn't known before users are counted again: one, for now. */
static void user_came(struct queue *queue, struct software_queue *software)
{
	struct software_queues *all = &queue->software;

	software->queue = queue;
	software->idle = 0;
	software->peak = 1;
	list_add_tail(&software->user, &all->users);
	all->count++;
	all->sum += software->peak;
	all->least = software->peak;
	/* Not before it could show it; but many that come don't put that off for ever. */
	if (all->count_at < queue->block->now)
		all->count_at = queue->block->now + COUNT_EVERY;
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

/* How many places it may have on each side. */
static unsigned share_of(const struct queue *queue, const struct software_queue *software)
{
	const struct software_queues *all = &queue->software;
	unsigned depth = queue->limits.queue_depth;
	unsigned fair = all->least > queue->limits.fair_depth ? all->least : queue->limits.fair_depth;
	uint64_t others;
	unsigned left;

	if (all->count < 2)
		return UINT_MAX;
	others = all->sum - (list_empty(&software->user) ? 0 : software->peak);
	left = depth / all->count;
	if (others < depth && depth - others > left)
		left = depth - (unsigned)others;
	if (left == 0)
		left = 1;
	return fair < left ? fair : left;
}

bool software_queue_is_full(const struct queue *queue, const struct software_queue *software, enum software_side side,
			    unsigned least)
{
	unsigned places = software->side[side].places;

	return places >= least && places >= share_of(queue, software);
}

void software_queue_take_place(const struct request *request)
{
	request->from->side[request->side].places++;
}

/* If it waited for that, it takes turns again: whether it has places enough is seen when its turn comes. */
void software_queue_give_back(struct queue *queue, const struct request *request)
{
	struct software_side_list *side = &request->from->side[request->side];

	side->places--;
	if (!side->full)
		return;
	side->full = false;
	list_del_init(&side->turn);
	list_add_tail(&side->turn, &queue->software.ready[request->side]);
}

void software_queue_insert(struct queue *queue, struct request *request, enum software_side side)
{
	struct software_side_list *own = &request->from->side[side];

	if (side != SOFTWARE_LATER)
		request->side = side;
	list_add_tail(&request->link, &own->requests);
	if (list_empty(&own->turn))
		list_add_tail(&own->turn, &queue->software.ready[side]);
}

void software_queue_remove(struct queue *queue, struct request *request, enum software_side side)
{
	struct software_side_list *own = &request->from->side[side];

	list_del_init(&request->link);
	list_del_init(&own->turn);
	own->full = false;
	if (!list_empty(&own->requests))
		list_add_tail(&own->turn, &queue->software.ready[side]);
}

struct request *software_queue_next(struct queue *queue, enum software_side side, unsigned least)
{
	struct software_queues *all = &queue->software;

	while (!list_empty(&all->ready[side])) {
		struct software_side_list *first = list_first_entry(&all->ready[side], struct software_side_list, turn);
		struct request *request = list_first_entry(&first->requests, struct request, link);

		if (!software_queue_is_full(queue, request->from, side, least))
			return request;
		first->full = true;
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
