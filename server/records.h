/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was logged and what happened: the newest records, numbered without gaps,
 * for those who ask later (dmesg) or wait for more (dmesg -w).  Any thread.
 */
#ifndef SERVER_RECORDS_H
#define SERVER_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"

/* So many are kept. */
#define RECORDS_MOST 4096

enum record_kind { RECORD_LOG = 1, RECORD_EVENT = 2 };

struct record {
	uint64_t number;      /* from 1 on, of both kinds */
	enum record_kind kind;
	enum log_level level; /* RECORD_LOG */
	uint64_t realtime_us; /* since 1970 */
	uint64_t uptime_us;   /* since records_init() */
	char *text;           /* RECORD_EVENT: a JSON object */
};

/* Has everything that is logged recorded, up to the level info whatever the log itself shows. */
void records_init(void);

/* Forgets all; nothing is logged any more by other threads. */
void records_free(void);

void records_add(enum record_kind kind, enum log_level level, const char *text);

/*
 * A copy of the first one of KINDS (enum record_kind bits) behind number AFTER.
 * False when there is none.  Whoever gets it calls record_free().
 */
bool records_next(uint64_t after, unsigned kinds, struct record *ret);
void record_free(struct record *record);

/* The newest one's number, 0 before the first. */
uint64_t records_newest(void);

/* The same; waits until it is above AFTER, or for a second. */
uint64_t records_wait(uint64_t after);

#endif
