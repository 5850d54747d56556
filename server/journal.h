/* SPDX-License-Identifier: BSD-2-Clause */
/* The log as systemd's journal has it, in fields: where standard error is its. */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

/* Has the log go there in its own protocol, if it goes there anyway. */
void journal_open(void);

#endif
