/*
 * progress: how far a long command is, on one line of stderr, if that is a terminal.
 */
#ifndef KYNETA_CTL_PROGRESS_H
#define KYNETA_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	bool shown; /* a line stands on the terminal */
	const char *verb;
	const char *things;
	int64_t start_us;
	int64_t next_us;
};

/* progress_start(progress, verb, things) - "importing", "lines"; both static. */
void progress_start(struct progress *progress, const char *verb, const char *things);

/* progress_show(progress, done, percent) - so many things done; @percent -1: not known. Cheap: shows ten times a second
 * at most. */
void progress_show(struct progress *progress, uint64_t done, int percent);

/* progress_clear(progress) - take the line away, before anything else is written to the terminal. */
void progress_clear(struct progress *progress);

/* progress_seconds(progress) - since the start. */
double progress_seconds(const struct progress *progress);

#endif
