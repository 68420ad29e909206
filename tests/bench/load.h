/*
 * load: appends through the client library, many connections with many in flight, on one thread.
 */
#ifndef KYNETA_BENCH_LOAD_H
#define KYNETA_BENCH_LOAD_H

#include <stdint.h>

struct load_options {
	const char *socket;
	unsigned connections, in_flight;
	unsigned entry_bytes;
	int durability; /* enum kyneta_store_durability */
	double seconds;
};

struct load_result {
	uint64_t requests;
	double seconds;
};

/* load_run(options, result) - a closed loop: each answer sends the next request. 0, or -1 with a line on stderr. */
int load_run(const struct load_options *options, struct load_result *result);

#endif
