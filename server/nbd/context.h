/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metadata contexts: what clients can ask about the ranges of an export, and
 * which of it a session selected (specification, "Metadata querying").
 */
#ifndef NBD_CONTEXT_H
#define NBD_CONTEXT_H

#include <stdint.h>

struct nbd_session;
struct request;

/* As bits of session->contexts; its number, from 1 on, is the context's id on the wire. */
#define CONTEXT_ALLOCATION (1u << 0) /* base:allocation */

/* Descriptors of one context in an answer; more than these are asked for again. */
#define CONTEXT_MOST_EXTENTS (16u << 10)

/* Answers NBD_OPT_LIST_META_CONTEXT or NBD_OPT_SET_META_CONTEXT with its whole data. */
void context_answer(struct nbd_session *session, const uint8_t *data, uint32_t length);

/* Nothing is selected any more. */
void context_forget(struct nbd_session *session);

/* The session begins to transmit: what was selected counts only for the export that it was selected for. */
void context_start(struct nbd_session *session);

/* Puts what was told of REQUEST, which asked for it and has succeeded, into its answer. */
void context_put_status(struct request *request);

#endif
