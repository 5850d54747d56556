/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/journal.h"

#include <config.h>

#ifdef HAVE_SYSTEMD
/* Of the caller, not of this file. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "common/log.h"

#define MOST_FIELDS 6

/* Formats one more of FIELDS. */
static void __attribute__((format(printf, 3, 4))) add(struct iovec *fields, int *count, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length >= 0)
		fields[(*count)++] = (struct iovec){ .iov_base = text, .iov_len = (size_t)length };
}

static bool write_fields(enum log_level level, const char *program, const struct log_subject *subject, const char *text)
{
	struct iovec fields[MOST_FIELDS];
	int count = 0;
	bool sent;

	add(fields, &count, "MESSAGE=%s", text);
	add(fields, &count, "PRIORITY=%d", (int)level);
	add(fields, &count, "SYSLOG_IDENTIFIER=%s", program);
	if (subject->disk)
		add(fields, &count, "PLATTER_DISK=%s", subject->disk);
	if (subject->export)
		add(fields, &count, "PLATTER_EXPORT=%s", subject->export);
	if (subject->peer)
		add(fields, &count, "PLATTER_PEER=%s", subject->peer);
	sent = sd_journal_sendv(fields, count) == 0;
	while (count)
		free(fields[--count].iov_base);
	return sent;
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
