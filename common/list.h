/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive circular doubly-linked lists, with the names of the kernel's.
 * A node that was removed with list_del_init() may be removed again.
 */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_head {
	struct list_head *next, *prev;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define LIST_HEAD_INIT(name) { &(name), &(name) }

static inline void list_init(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* In front of all others. */
static inline void list_add(struct list_head *node, struct list_head *head)
{
	list_add_tail(node, head->next);
}

static inline void list_del_init(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Moves every node of FROM behind those of TO; FROM is empty afterwards. */
static inline void list_splice_tail_init(struct list_head *from, struct list_head *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_first_entry(head, type, member) container_of((head)->next, type, member)

/* Takes the first node off; NULL when the list is empty. */
static inline struct list_head *list_pop(struct list_head *head)
{
	struct list_head *node = head->next;

	if (node == head)
		return NULL;
	list_del_init(node);
	return node;
}

#define list_for_each(node, head) for ((node) = (head)->next; (node) != (head); (node) = (node)->next)

/* The current node may be removed in the body. */
#define list_for_each_safe(node, following, head)                                    \
	for ((node) = (head)->next, (following) = (node)->next; (node) != (head); \
	     (node) = (following), (following) = (node)->next)

#endif
