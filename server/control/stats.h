/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of requests, as JSON. */
#ifndef CONTROL_STATS_H
#define CONTROL_STATS_H

#include <jansson.h>
#include <stdint.h>

struct account;

/* An object with a member for each op; SUBMITTED, by op: a disk's, NULL for a connection. */
json_t *stats_ops(const struct account *account, const uint64_t *submitted);

#endif
