/* SPDX-License-Identifier: BSD-2-Clause */
/* For client.c: one request, from the specification's side. */
#ifndef FUZZ_ASK_H
#define FUZZ_ASK_H

#include "tests/fuzz/client.h"

/* What CLIENT sends, and what must become of it. */
struct ask *ask_new(struct client *client, const struct wanted *wanted);

/* The session is given it: by now the disk may have grown, and there is nothing wrong with it any more. */
void ask_arrives(struct client *client, struct ask *ask);

/* Bytes of a header as CLIENT sends it, and the most with the payload of a BLOCK_STATUS. */
size_t ask_header_size(const struct client *client);
#define ASK_MOST_HEADER 256

/* Its header, and what tells what it asks for, as they are sent.  How long that is. */
size_t ask_put_header(const struct client *client, const struct ask *ask, uint8_t header[ASK_MOST_HEADER]);

/* What it writes: the length of its answer's; until the next call. */
const uint8_t *ask_content(const struct ask *ask);

/* Its answer is whole: whether it may be that. */
void ask_check_answer(const struct client *client, const struct ask *ask);

/* The driver fails something of REQUEST: perhaps it is of ASK. */
void ask_excuse(struct world *world, struct ask *ask, const struct platter_request *request);

/* It has ended; DONE: with success. */
void ask_free(struct client *client, struct ask *ask, bool done);

#endif
