/* SPDX-License-Identifier: BSD-2-Clause */
/* The rest of include/platter/host.h: the log. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <platter/host.h>

#include "common/log.h"

_Static_assert((int)PLATTER_LOG_ERROR == (int)LOG_LEVEL_ERROR && (int)PLATTER_LOG_DEBUG == (int)LOG_LEVEL_DEBUG,
	       "the same numbers");

/* A driver's number is whatever it passed. */
static enum log_level level_of(int level)
{
	if (level < LOG_LEVEL_ERROR)
		return LOG_LEVEL_ERROR;
	return level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)level;
}

void platter_log(enum platter_log_level level, const char *format, ...)
{
	char text[1024];
	size_t length;
	va_list args;

	if (!log_enabled(level_of((int)level)))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	length = strlen(text);
	if (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (iscntrl((unsigned char)text[i]))
			text[i] = ' ';
	log_message(level_of((int)level), "%s", text);
}
