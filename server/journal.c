/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/journal.h"

#include <config.h>

#ifdef HAVE_SYSTEMD
/* Of the caller, not of this file. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "common/log.h"

static bool write_fields(enum log_level level, const char *program, const char *text)
{
	return sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", (int)level, "SYSLOG_IDENTIFIER=%s", program, NULL) == 0;
}

void journal_open(void)
{
	if (log_is_journal())
		log_write_with(write_fields);
}

#else

void journal_open(void)
{
}
#endif
