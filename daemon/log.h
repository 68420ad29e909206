/*
 * log: one line per event on stderr, with a priority.
 *
 * Under systemd (JOURNAL_STREAM set) a line begins with the priority as sd-daemon(3) writes it ("<6>"), else with its name
 * ("info: "). Control characters in the text are escaped, so that no peer can forge a line. Any thread; one write(2) per line.
 */
#ifndef KYNETA_DAEMON_LOG_H
#define KYNETA_DAEMON_LOG_H

/* X(constant, syslog number, name) */
#define LOG_LEVEL_LIST(X) \
	X(CRITICAL, 2, critical) X(ERROR, 3, error) X(WARNING, 4, warning) X(NOTICE, 5, notice) X(INFO, 6, info) X(DEBUG, 7, debug)

enum log_level {
#define X(constant, number, name) LOG_##constant = (number),
	LOG_LEVEL_LIST(X)
#undef X
};

/* log_set_level(level) - messages less important than this are dropped. Before threads start, or any time after. */
void log_set_level(enum log_level level);

/* log_enabled(level) - would a message of this level be written? For those that cost something to make. */
_Bool log_enabled(enum log_level level);

/* log_write(level, format, …) - one line; longer than 4,000 bytes is cut. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
