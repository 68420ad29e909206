/*
 * report: a measurement, for people, for programs, and as a plot.
 */
#ifndef KYNETA_BENCH_REPORT_H
#define KYNETA_BENCH_REPORT_H

#include "tests/bench/measure.h"

/* report_table(measurement) - to stdout. */
void report_table(const struct measurement *measurement);

/* report_json(measurement) - to stdout: every round's figures and the medians. */
void report_json(const struct measurement *measurement);

/* report_plot(measurement, path) - latencies by percentile, as SVG, by gnuplot. 0, or -1 with a line on stderr. */
int report_plot(const struct measurement *measurement, const char *path);

#endif
