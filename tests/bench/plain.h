/*
 * plain: the yardstick: SQLite in this process, by a plain loop, one transaction per append.
 */
#ifndef KYNETA_BENCH_PLAIN_H
#define KYNETA_BENCH_PLAIN_H

#include "load.h"

/* plain_run(database, options, result) - @options' seconds and entry_bytes; synced. 0, or -1 with a line on stderr. */
int plain_run(const char *database, const struct load_options *options, struct load_result *result);

#endif
