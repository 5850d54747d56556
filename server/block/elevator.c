/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/elevator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/queue.h"
#include "server/block/request.h"

static const struct elevator *const elevators[] = { &elevator_none, &elevator_merge, &elevator_deadline };

const struct elevator *elevator_at(unsigned index)
{
	return index < sizeof(elevators) / sizeof(elevators[0]) ? elevators[index] : NULL;
}

const struct elevator *elevator_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(elevators) / sizeof(elevators[0]); i++)
		if (strcmp(elevators[i]->name, name) == 0)
			return elevators[i];
	return NULL;
}

int elevator_switch(struct queue *queue, const struct elevator *elevator)
{
	void *data = elevator->size ? calloc(1, elevator->size) : NULL;
	struct list_head moving, *node;
	struct request *request;

	if (elevator->size && !data)
		return -ENOMEM;
	list_init(&moving);
	while ((request = queue->elevator->find(queue, NULL))) {
		queue_take(queue, request);
		list_add_tail(&request->link, &moving);
	}
	free(queue->elevator_data);
	queue->elevator = elevator;
	queue->elevator_data = data;
	if (elevator->init)
		elevator->init(queue);
	while ((node = list_pop(&moving)))
		queue_insert(queue, container_of(node, struct request, link));
	return 0;
}

void elevator_destroy(struct queue *queue)
{
	free(queue->elevator_data);
	queue->elevator_data = NULL;
}

void software_queue_init(struct software_queue *software)
{
	for (unsigned i = 0; i < ELEVATOR_SIDES; i++) {
		list_init(&software->side[i].requests);
		list_init(&software->side[i].ready);
	}
}

void elevator_round_insert(struct queue *queue, struct request *request, enum elevator_side side)
{
	struct software_side *from = &request->from->side[side];

	list_add_tail(&request->link, &from->requests);
	if (list_empty(&from->ready))
		list_add_tail(&from->ready, &queue->ready[side]);
}

/* Whoever had one taken is the last in turn. */
void elevator_round_remove(struct queue *queue, struct request *request, enum elevator_side side)
{
	struct software_side *from = &request->from->side[side];

	list_del_init(&request->link);
	list_del_init(&from->ready);
	if (!list_empty(&from->requests))
		list_add_tail(&from->ready, &queue->ready[side]);
}

struct request *elevator_round_next(struct queue *queue, enum elevator_side side)
{
	struct software_side *first;

	if (list_empty(&queue->ready[side]))
		return NULL;
	first = list_first_entry(&queue->ready[side], struct software_side, ready);
	return list_first_entry(&first->requests, struct request, link);
}

struct request *elevator_round_find(struct queue *queue, const void *owner, enum elevator_side side)
{
	struct list_head *turn, *node;

	list_for_each(turn, &queue->ready[side]) {
		list_for_each(node, &container_of(turn, struct software_side, ready)->requests) {
			struct request *request = container_of(node, struct request, link);

			if (!owner || request->owner == owner)
				return request;
		}
	}
	return NULL;
}

static void none_insert(struct queue *queue, struct request *request)
{
	elevator_round_insert(queue, request, ELEVATOR_ALL);
}

static void none_remove(struct queue *queue, struct request *request)
{
	elevator_round_remove(queue, request, ELEVATOR_ALL);
}

static struct request *none_next(struct queue *queue)
{
	return elevator_round_next(queue, ELEVATOR_ALL);
}

static struct request *none_find(struct queue *queue, const void *owner)
{
	return elevator_round_find(queue, owner, ELEVATOR_ALL);
}

const struct elevator elevator_none = {
	.name = "none",
	.insert = none_insert,
	.remove = none_remove,
	.next = none_next,
	.find = none_find,
};
