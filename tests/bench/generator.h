/*
 * generator: one process of a load (load.h): its connections, and the loop over them.
 */
#ifndef KYNETA_BENCH_GENERATOR_H
#define KYNETA_BENCH_GENERATOR_H

#include "tests/bench/load.h"

enum load_phase {
	PHASE_WARMING,
	PHASE_COUNTING,
	PHASE_STOPPING,
};

/* What a generator gives back, in memory shared with the parent. Written by the generator alone. */
struct generator_result {
	uint64_t requests, items;
	uint64_t begin_ns, end_ns; /* first request sent, last answer there */
	uint64_t cpu_ns;	   /* that it took between these */
	struct histogram latency[WORK_OPERATIONS];
};

struct generator_options {
	const struct load_group *group;
	unsigned number;    /* of the group's generators */
	_Atomic int *phase; /* set by the parent */
	int parent;	    /* a byte goes there when all connections are open; one comes back to begin */
	struct generator_result *result;
};

/* generator_run(options) - the child's whole life. Its exit status: 0, or 1 with a line on stderr. */
int generator_run(const struct generator_options *options);

#endif
