/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

/* A longer message is cut. */
#define LOG_MOST 2000

static const char *log_program = "platter";
static enum log_level log_highest = LOG_LEVEL_NOTICE;
static bool log_to_journal;
static bool (*log_writer)(enum log_level level, const char *program, const struct log_subject *subject, const char *text);
static void (*log_listener)(enum log_level level, const char *text);
static enum log_level log_heard;

/* The variable is inherited, by those, too, whose standard error is another. */
bool log_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
	       status.st_dev == device && status.st_ino == inode;
}

void log_write_with(bool (*writer)(enum log_level level, const char *program, const struct log_subject *subject, const char *text))
{
	log_writer = writer;
}

void log_open(const char *program, enum log_level highest)
{
	log_program = program;
	log_highest = highest;
	log_to_journal = log_is_journal();
}

void log_listen(void (*listener)(enum log_level level, const char *text), enum log_level highest)
{
	log_listener = listener;
	log_heard = highest;
}

bool log_enabled(enum log_level level)
{
	return level <= log_highest || (log_listener && level <= log_heard);
}

static void write_line(enum log_level level, const struct log_subject *subject, const char *text)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error: ",
		[LOG_LEVEL_WARNING] = "warning: ",
		[LOG_LEVEL_DEBUG] = "debug: ",
	};
	char line[LOG_MOST + 64];
	size_t used = 0;

	if (log_writer && log_writer(level, log_program, subject, text))
		return;
	if (log_to_journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: %s%s\n", log_program, names[level] ? names[level] : "",
				 text);
	if (used > sizeof(line) - 1) {
		used = sizeof(line) - 1;
		line[used - 1] = '\n';
	}
	/* One write, so that lines of several threads don't mix; a log that can't be written is nobody's error. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

static void __attribute__((format(printf, 3, 0))) log_text(const struct log_subject *subject, enum log_level level,
							   const char *format, va_list args)
{
	char text[LOG_MOST];

	vsnprintf(text, sizeof(text), format, args);
	if (log_listener)
		log_listener(level, text);
	if (level <= log_highest)
		write_line(level, subject, text);
}

void log_message(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	log_text(&(struct log_subject){ 0 }, level, format, args);
	va_end(args);
}

void log_message_about(const struct log_subject *subject, enum log_level level, const char *format, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	log_text(subject, level, format, args);
	va_end(args);
}

bool log_ratelimit(struct log_ratelimit *limit, uint64_t now_ns, unsigned *suppressed)
{
	*suppressed = 0;
	if (!limit->begin_ns || now_ns - limit->begin_ns >= LOG_RATELIMIT_NS) {
		*suppressed = limit->missed;
		*limit = (struct log_ratelimit){ .begin_ns = now_ns };
	}
	if (limit->printed == LOG_RATELIMIT_BURST) {
		limit->missed++;
		return false;
	}
	limit->printed++;
	return true;
}

void log_message_ratelimited(struct log_ratelimit *limit, const struct log_subject *subject, enum log_level level,
			     const char *format, ...)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	unsigned suppressed;
	va_list args;
	bool allowed;

	if (!log_enabled(level))
		return;
	pthread_mutex_lock(&lock);
	allowed = log_ratelimit(limit, clock_ns(), &suppressed);
	pthread_mutex_unlock(&lock);
	if (suppressed)
		log_message(level, "%u messages like the next one were suppressed", suppressed);
	if (!allowed)
		return;
	va_start(args, format);
	log_text(subject, level, format, args);
	va_end(args);
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
