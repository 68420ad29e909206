/*
 * histogram: how often which value came, log-linear, for latencies and sizes.
 *
 * Values below 128 have a bucket each; above that every power of two is cut into 64 equal buckets, so that the middle
 * of a bucket is within 1/128 (0.8 %) of every value in it, over the whole range of 64 bits. 30 KB each, nothing to
 * configure, and two of them can be added.
 *
 * Lives here because the daemon (stats) and what reads it (storectl, the benchmark) mean the same thing by a percentile
 * and share nothing else. libc only.
 *
 * One thread records; any thread may read or merge meanwhile, and sees some recent state of each bucket.
 */
#ifndef KYNETA_PROTOCOL_HISTOGRAM_H
#define KYNETA_PROTOCOL_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* Each power of two has this many bits' worth of buckets. */
#define HISTOGRAM_BITS	  6
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

/* All zero is empty. */
struct histogram {
	_Atomic uint64_t total, sum, max;
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
};

/* histogram_record(histogram, value) - one more of @value. The recording thread only. */
void histogram_record(struct histogram *histogram, uint64_t value);

/* histogram_record_many(histogram, value, count) - @count more of @value. The recording thread only. */
void histogram_record_many(struct histogram *histogram, uint64_t value, uint64_t count);

/* histogram_merge(into, from) - add everything in @from. The thread that records into @into. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* histogram_reset(histogram) - empty it. The recording thread only. */
void histogram_reset(struct histogram *histogram);

/*
 * histogram_quantile(histogram, share) - the value that @share (0 to 1) of all values are not above, within 1 %; the
 * largest recorded for 1; 0 if there is none.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

uint64_t histogram_total(const struct histogram *histogram);
uint64_t histogram_max(const struct histogram *histogram); /* exact */
double histogram_mean(const struct histogram *histogram);  /* exact, as long as the sum fits 64 bits; 0 if empty */

#endif
