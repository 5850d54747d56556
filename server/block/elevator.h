/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Elevators, the I/O schedulers: which of the requests that may start goes to
 * the driver next, and what is merged with it.  A queue has one at a time; it
 * can be changed while requests wait in it.
 */
#ifndef BLOCK_ELEVATOR_H
#define BLOCK_ELEVATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "deadline", where reads come, too: changes aren't merged to more bytes than
 * this, and the driver isn't given another one as long as it has so many.
 */
#define ELEVATOR_ASYNC_BYTES (512u << 10)

struct queue;
struct request;

struct elevator {
	const char *name;
	size_t size; /* of its own data, queue->elevator_data, zeroed */
	void (*init)(struct queue *queue);
	void (*insert)(struct queue *queue, struct request *request);
	void (*remove)(struct queue *queue, struct request *request);
	/* Which one goes next; NULL: none waits, or none may go now. */
	struct request *(*next)(struct queue *queue);
	/* A request that REQUEST may be merged with, whose range begins where that of REQUEST ends. */
	struct request *(*following)(struct queue *queue, const struct request *request);
	/* The same, whose range ends where that of REQUEST begins. */
	struct request *(*preceding)(struct queue *queue, const struct request *request);
	/* Up to how many bytes REQUEST may be merged now; NULL: as many as the disk's limits allow. */
	uint64_t (*merge_limit)(const struct queue *queue, const struct request *request);
	/* Any that waits, of OWNER unless that is NULL; NULL when there is none. */
	struct request *(*find)(struct queue *queue, const void *owner);
};

/* In the order in which they are listed. */
extern const struct elevator elevator_none, elevator_merge, elevator_deadline;

/* NULL when there is none of this name, or at this place. */
const struct elevator *elevator_by_name(const char *name);
const struct elevator *elevator_at(unsigned index);

/* Gives QUEUE another one, with all that waits in it; -ENOMEM: as it was. */
int elevator_switch(struct queue *queue, const struct elevator *elevator);
void elevator_destroy(struct queue *queue);

/* For their `find`. */
bool elevator_is_of(const struct request *request, const void *owner);

#endif
