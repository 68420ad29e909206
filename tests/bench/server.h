/*
 * server: what the daemon says about itself over a measurement: the differences of its counters.
 */
#ifndef KYNETA_BENCH_SERVER_H
#define KYNETA_BENCH_SERVER_H

#include <kyneta/store.h>
#include <stdint.h>

/* X(name of the daemon's counter) - since its start, and so to be taken as a difference. */
#define SERVER_COUNTERS(X)                                                                                             \
	X(batches)                                                                                                     \
	X(batch_requests)                                                                                              \
	X(batches_synced)                                                                                              \
	X(commit_us)                                                                                                   \
	X(checkpoints)                                                                                                 \
	X(checkpoint_us)                                                                                               \
	X(gate_closed_us)

/* As they are at the end. */
#define SERVER_LEVELS(X)                                                                                               \
	X(gate_closed_max_us)                                                                                          \
	X(wal_peak_bytes)

struct server_counters {
#define X(name) uint64_t name;
	SERVER_COUNTERS(X)
	SERVER_LEVELS(X)
#undef X
};

/* server_read(store, counters) - 0, or -1 with a line on stderr. */
int server_read(kyneta_store *store, struct server_counters *counters);

/* server_since(counters, before) - make differences of those that are. */
void server_since(struct server_counters *counters, const struct server_counters *before);

#endif
