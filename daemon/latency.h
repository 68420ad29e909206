/*
 * latency: how long requests took lately, from the arrival of their last byte to their answer, by operation.
 *
 * Of the last ten to twenty seconds: two histograms for each operation take turns, so that a bad minute is seen while
 * it lasts, and forgotten afterwards. A request that waits for its turn behind others of its connection counts from its
 * arrival. Loop thread only.
 */
#ifndef KYNETA_DAEMON_LATENCY_H
#define KYNETA_DAEMON_LATENCY_H

#include "protocol/message.h"

/* latency_record(operation, us) - one more was answered. Operations that are not timed are ignored. */
void latency_record(uint64_t operation, uint64_t us);

/* latency_tick() - a second has passed. */
void latency_tick(void);

/*
 * latency_pairs() - how many pairs latency_stats(out) adds to a reply to stats: for each operation "append_p50_us",
 * "append_p99_us" and "append_max_us", microseconds, 0 if there was none.
 */
uint32_t latency_pairs(void);
void latency_stats(struct buffer *out);

#endif
