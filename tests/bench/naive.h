/*
 * naive: what people do without a daemon: processes that each open one SQLite file and append to it, one transaction
 * each, waiting for each other's locks (WAL, BEGIN IMMEDIATE, busy timeout 5 s, synced).
 */
#ifndef KYNETA_BENCH_NAIVE_H
#define KYNETA_BENCH_NAIVE_H

#include "tests/bench/load.h"

/* naive_run(database, work, result) - @work's connections are the processes. 0, or -1 with a line on stderr. */
int naive_run(const char *database, const struct work *work, struct load_result *result);

#endif
