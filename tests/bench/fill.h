/*
 * fill: what must be there before the work begins: each document's metadata, and its records.
 */
#ifndef KYNETA_BENCH_FILL_H
#define KYNETA_BENCH_FILL_H

#include "tests/bench/backend.h"

/* fill_run(backend, address, work) - 0, or -1 with a line on stderr. A trace brings its own documents. */
int fill_run(const struct backend *backend, const char *address, const struct work *work);

#endif
