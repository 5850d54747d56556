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

bool elevator_is_of(const struct request *request, const void *owner)
{
	return !owner || request->owner == owner;
}

static void none_insert(struct queue *queue, struct request *request)
{
	software_queue_insert(queue, request, SOFTWARE_ALL);
}

static void none_remove(struct queue *queue, struct request *request)
{
	software_queue_remove(queue, request, SOFTWARE_ALL);
}

static struct request *none_next(struct queue *queue)
{
	return software_queue_next(queue, SOFTWARE_ALL, 1);
}

static struct request *none_find(struct queue *queue, const void *owner)
{
	return software_queue_find(queue, SOFTWARE_ALL, elevator_is_of, owner);
}

const struct elevator elevator_none = {
	.name = "none",
	.insert = none_insert,
	.remove = none_remove,
	.next = none_next,
	.find = none_find,
};
