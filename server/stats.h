/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's counters. */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

/* Has each reactor log its counters. */
void stats_log(void);

#endif
