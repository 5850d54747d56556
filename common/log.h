/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line a message, to standard error, from any thread.
 * Under systemd each line carries its priority, so that journalctl -p works.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>

/* As syslog's, so that they are also the journal's. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* PROGRAM stays the caller's and starts every line. */
void log_open(const char *program, enum log_level highest);

/*
 * Has LISTENER hear all messages up to HIGHEST, or up to what is logged if that is more; without the
 * program's name and the newline.  Called on the thread that logs, before any other starts; it must not log.
 */
void log_listen(void (*listener)(enum log_level level, const char *text), enum log_level highest);

/* Whether anybody is to hear of it. */
bool log_enabled(enum log_level level);
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                              \
	do {                                                        \
		if (log_enabled(LOG_LEVEL_DEBUG))                   \
			log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * Copies TEXT into OUT (SIZE bytes, always terminated) fit for a log line or a
 * reply: whatever is not printable ASCII becomes '?', a longer text ends in "...".
 */
char *log_printable(char *out, unsigned size, const char *text, unsigned length);

#endif
