/*
 * options: the command line.
 */
#ifndef KYNETA_BENCH_OPTIONS_H
#define KYNETA_BENCH_OPTIONS_H

#include "tests/bench/measure.h"
#include "tests/bench/trace.h"

struct options {
	struct measure_options measure; /* work, beside and the paths point into this struct */
	struct work work, beside;
	struct trace trace;
	const char *trace_name;
	bool first;   /* nothing was said about the work: the first figure */
	bool machine; /* only what is physically here */
	bool check;
	bool json;
	const char *plot; /* NULL: none */
	char daemon[4096 + 64], libraries[4096];
};

/* options_parse(options, argc, argv) - exits with 2 and a line on stderr, or with 0 after --help. */
void options_parse(struct options *options, int argc, char **argv);

#endif
