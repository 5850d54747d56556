/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merging: neighbours that wait together go to the driver as one request, whose
 * segments are theirs; nothing is copied.  Each keeps its own answer.  When the
 * merged request fails, its members are issued again one by one.
 */
#ifndef BLOCK_MERGE_H
#define BLOCK_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"

struct queue;
struct request;

/* Whether REQUEST, which comes into the elevator, may be merged with others. */
bool merge_allowed(const struct queue *queue, const struct request *request);

/* Whether the two, neighbours that may be merged, are of one kind. */
bool merge_fits(const struct request *a, const struct request *b);

/*
 * What goes to the driver in place of REQUEST, which has just left the elevator: itself, or a request
 * that stands for it and for neighbours, which leave, too.
 */
struct request *merge_neighbours(struct queue *queue, struct request *request);

/* Up to how many bytes requests like REQUEST are merged. */
uint64_t merge_limit(const struct queue *queue, const struct request *request);

/* What goes to the driver in place of the first of LIST, and of the others as far as they lie one behind the other: these leave. */
struct request *merge_list(struct queue *queue, struct list_head *list);

/* MERGED goes to the driver: all of its members but one, whose turn it was, have come along. */
void merge_count(struct queue *queue, const struct request *merged);

/* A member of MERGED, which is back, taken off; NULL when there is none any more. */
struct request *merge_take_member(struct request *merged);

#endif
