/*
 * first: the first figure: synced appends per second at three shapes, beside a plain SQLite loop.
 */
#ifndef KYNETA_BENCH_FIRST_H
#define KYNETA_BENCH_FIRST_H

#include "tests/bench/measure.h"

/*
 * first_run(options, check) - measure and print. Of @options the target, the rounds, and the work's bytes, seconds and
 * warm-up are used. 0; 1 if @check and the goal was missed; -1 with a line on stderr.
 */
int first_run(const struct measure_options *options, bool check);

#endif
