/*
 * log: one line per event on stderr, with a priority.
 *
 * When stderr goes to the journal (JOURNAL_STREAM names it) a line begins with the priority as sd-daemon(3) writes it
 * ("<6>"), else with the time in UTC and its name ("2026-01-31T23:59:59.123Z info: "). Control characters, line
 * separators and what is not UTF-8 are escaped as \xNN, so that no peer can forge a line. Any thread; one write(2) per
 * line.
 */
#ifndef KYNETA_DAEMON_LOG_H
#define KYNETA_DAEMON_LOG_H

#include <stddef.h>

/* X(constant, syslog number, name) */
#define LOG_LEVEL_LIST(X)                                                                                              \
	X(CRITICAL, 2, critical)                                                                                       \
	X(ERROR, 3, error) X(WARNING, 4, warning) X(NOTICE, 5, notice) X(INFO, 6, info) X(DEBUG, 7, debug)

enum log_level {
#define X(constant, number, name) LOG_##constant = (number),
	LOG_LEVEL_LIST(X)
#undef X
};

/* log_set_level(level) - messages less important than this are dropped. Before threads start, or any time after. */
void log_set_level(enum log_level level);

/* log_enabled(level) - would a message of this level be written? For those that cost something to make. */
_Bool log_enabled(enum log_level level);

/* log_to_journal() - does stderr go to the journal, which takes "<3>" at the beginning of a line for its priority? */
_Bool log_to_journal(void);

/* log_write(level, format, …) - one line; longer than 4,000 bytes is cut, at a character. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * log_escape(text, size, out, out_size) - @size bytes of text as they would stand in the log: one line, cut at a
 * character to fit with its NUL into @out. Returns the length. For messages that quote what somebody else wrote.
 */
size_t log_escape(const char *text, size_t size, char *out, size_t out_size);

#endif
