/*
 * load: work, sent to a store by generators, and how long the answers took.
 *
 * A generator is a process with some of the connections on one epoll; several are needed only where one would be the
 * limit, or more descriptors than one process may have. A process and not a thread, so that they share nothing but the
 * results.
 *
 * Closed loop: each answer sends the next request, so that a connection always has as many in flight as asked for.
 * Open loop: requests are due at fixed times whatever the answers do, and an answer's latency counts from the moment at
 * which its request was due: a store that stalls is charged for all that had to wait (no coordinated omission).
 */
#ifndef KYNETA_BENCH_LOAD_H
#define KYNETA_BENCH_LOAD_H

#include "protocol/histogram.h"
#include "tests/bench/backend.h"

struct load_result {
	uint64_t requests; /* answered while it was counted */
	uint64_t items;	   /* records and ids read by these */
	double seconds;
	double cpu;	      /* of the generators: how many processors they kept busy */
	struct histogram all; /* latencies in nanoseconds */
	struct histogram latency[WORK_OPERATIONS];
};

/* One kind of work on some connections. */
struct load_group {
	const struct backend *backend;
	const char *address;
	const struct work *work;
	struct load_result *result;
};

/* Called when counting begins and when it ends. May be NULL. */
struct load_hooks {
	void (*begin)(void *context);
	void (*end)(void *context);
	void *context;
};

/*
 * load_run(groups, count, hooks) - all groups at the same time. The first one's work says how long it takes; the others
 * go on as long as that. 0, or -1 with a line on stderr: then the results are worth nothing.
 */
int load_run(const struct load_group *groups, unsigned count, const struct load_hooks *hooks);

#endif
