/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line a message, to standard error, from any thread.
 * Under systemd each line carries its priority, so that journalctl -p works.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

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

/* Whether standard error goes to systemd's journal. */
bool log_is_journal(void);

/* What a message is about, for a log that has fields for that; NULL: nothing of the kind. */
struct log_subject {
	const char *disk, *export;
	const char *peer; /* a client's address */
};

/* Has WRITER, of any thread, write messages, instead of to standard error; false: it couldn't. */
void log_write_with(bool (*writer)(enum log_level level, const char *program, const struct log_subject *subject, const char *text));

/*
 * Has LISTENER hear all messages up to HIGHEST, or up to what is logged if that is more; without the
 * program's name and the newline.  Called on the thread that logs, before any other starts; it must not log.
 */
void log_listen(void (*listener)(enum log_level level, const char *text), enum log_level highest);

/* Whether anybody is to hear of it. */
bool log_enabled(enum log_level level);
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_message_about(const struct log_subject *subject, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                              \
	do {                                                        \
		if (log_enabled(LOG_LEVEL_DEBUG))                   \
			log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/* Of messages that clients can bring about, at most so many in so long, from each place in the source. */
#define LOG_RATELIMIT_BURST 10
#define LOG_RATELIMIT_NS (UINT64_C(5) * 1000000000)

struct log_ratelimit {
	uint64_t begin_ns; /* of the time in which PRINTED were */
	unsigned printed, missed;
};

/* Whether one more may be logged at NOW; *SUPPRESSED: how many weren't before, when that is to be told.  One thread at a time. */
bool log_ratelimit(struct log_ratelimit *limit, uint64_t now_ns, unsigned *suppressed);

/* As the kernel's printk_ratelimited(): what nobody may fill the log with. */
#define log_ratelimited_about(subject, level, ...)                                            \
	do {                                                                                  \
		static struct log_ratelimit ratelimit;                                        \
		log_message_ratelimited(&ratelimit, subject, LOG_LEVEL_##level, __VA_ARGS__); \
	} while (0)
#define log_ratelimited(level, ...) log_ratelimited_about(&(struct log_subject){ 0 }, level, __VA_ARGS__)
void log_message_ratelimited(struct log_ratelimit *limit, const struct log_subject *subject, enum log_level level,
			     const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Copies TEXT into OUT (SIZE bytes, always terminated) fit for a log line or a
 * reply: whatever is not printable ASCII becomes '?', a longer text ends in "...".
 */
char *log_printable(char *out, unsigned size, const char *text, unsigned length);

#endif
