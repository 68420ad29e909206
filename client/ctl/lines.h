/*
 * lines: the lines of a file, one at a time, plain or gzipped.
 *
 * The line in hand is the only memory held, and it is used again for the next one, so that a file
 * may be of any size. zlib finds out by itself whether a file is gzipped.
 */
#ifndef KYNETA_CTL_LINES_H
#define KYNETA_CTL_LINES_H

#include "protocol/buffer.h"
#include "protocol/span.h"

/* The largest line: a record of 1 GiB as base64, inside its line, fits. */
#define LINES_LINE_MAX ((size_t)2 << 30)

struct lines;

enum lines_result { LINES_FAILED = -1, LINES_END = 0, LINES_ONE = 1 };

/*
 * lines_open(lines, path) - begin with @path; "-" is the standard input.
 * 0, or -1 with *reason (static, or errno's text: valid until the next call of the C library).
 */
int lines_open(struct lines **lines, const char *path, const char **reason);

/*
 * lines_next(lines, line, reason) - the next line that is not blank, without its line feed. Valid until the next call.
 * The last line needs no line feed. LINES_FAILED: unreadable, too long, no memory, or a gzipped file cut short; *reason
 * says which.
 */
enum lines_result lines_next(struct lines *lines, struct span *line, const char **reason);

/* lines_number(lines) - the number of the line that lines_next() gave last, from 1; blank lines count. */
uint64_t lines_number(const struct lines *lines);

/* lines_percent(lines) - how much of the file has been read, by position; -1 if that cannot be known (a pipe). */
int lines_percent(const struct lines *lines);

/* lines_close(lines) - NULL is fine. */
void lines_close(struct lines *lines);

#endif
