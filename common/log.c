/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *log_program = "platter";
static enum log_level log_highest = LOG_LEVEL_NOTICE;
static bool log_to_journal;

void log_open(const char *program, enum log_level highest)
{
	log_program = program;
	log_highest = highest;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

bool log_enabled(enum log_level level)
{
	return level <= log_highest;
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error: ",
		[LOG_LEVEL_WARNING] = "warning: ",
		[LOG_LEVEL_DEBUG] = "debug: ",
	};
	char line[2048];
	size_t used = 0;
	int printed;
	va_list args;

	if (!log_enabled(level))
		return;
	if (log_to_journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: %s", log_program, names[level] ? names[level] : "");
	va_start(args, format);
	printed = vsnprintf(line + used, sizeof(line) - used, format, args);
	va_end(args);
	used += printed > 0 ? (size_t)printed : 0;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	/* One write, so that lines of several threads don't mix; a log that can't be written is nobody's error. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

char *log_printable(char *out, unsigned size, const char *text, unsigned length)
{
	static const char ellipsis[] = "...";
	unsigned room = size - 1;
	unsigned used = 0;

	for (unsigned i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (used == room) {
			if (room >= sizeof(ellipsis) - 1)
				memcpy(out + room - (sizeof(ellipsis) - 1), ellipsis, sizeof(ellipsis) - 1);
			break;
		}
		out[used++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	out[used] = '\0';
	return out;
}
