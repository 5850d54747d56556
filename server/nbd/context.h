/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metadata contexts: what clients can ask about the ranges of an export, and
 * which of it a session selected (specification, "Metadata querying").
 */
#ifndef NBD_CONTEXT_H
#define NBD_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbd_session;
struct request;

/* Contexts that a session selected: a bit for each; its number, from 1 on, is the context's id on the wire. */
#define CONTEXT_MOST 31
/* The longest name, with its end. */
#define CONTEXT_NAME_SIZE 96

/* Descriptors of one context in an answer; more than these are asked for again. */
#define CONTEXT_MOST_EXTENTS (16u << 10)

/* Answers NBD_OPT_LIST_META_CONTEXT or NBD_OPT_SET_META_CONTEXT with its whole data. */
void context_answer(struct nbd_session *session, const uint8_t *data, uint32_t length);

/* Nothing is selected any more. */
void context_forget(struct nbd_session *session);

/* What was selected, as bits; it counts only for the export that it was selected for. */
uint32_t context_all(const struct nbd_session *session);

/* Of these the ones with LENGTH bytes of IDS; 0: one isn't selected, or is named twice. */
uint32_t context_by_ids(const struct nbd_session *session, const uint8_t *ids, size_t length);

/* Memory that an answer about CONTEXTS, of ONE extent each or of many, may take. */
uint64_t context_memory(uint32_t contexts, bool one);

/*
 * Has REQUEST, of a BLOCK_STATUS, ask the disk about the first or next context.  1: it is to be submitted; 0: it needs
 * the disk no more; -ENOMEM.
 */
int context_prepare(const struct nbd_session *session, struct request *request);

/* Makes the answer of what was told of REQUEST, which asked for it and has succeeded; -ENOMEM. */
int context_put_status(const struct nbd_session *session, struct request *request);

#endif
