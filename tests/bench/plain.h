/*
 * plain: SQLite in this process, by a plain loop, one transaction per append.
 */
#ifndef KYNETA_BENCH_PLAIN_H
#define KYNETA_BENCH_PLAIN_H

#include <stddef.h>

/* plain_run(database, bytes, seconds, rate) - synced appends of @bytes each. 0, or -1 with a line on stderr. */
int plain_run(const char *database, size_t bytes, double seconds, double *rate);

#endif
