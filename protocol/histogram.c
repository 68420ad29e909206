#include "protocol/histogram.h"

#define SUB (1u << HISTOGRAM_BITS)

/* The power of two that a bucket's width is of: 0 up to 2 * SUB - 1. */
static unsigned width_of_value(uint64_t value)
{
	unsigned highest = 63 - (unsigned)__builtin_clzll(value | 1);

	return highest > HISTOGRAM_BITS ? highest - HISTOGRAM_BITS : 0;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned width = width_of_value(value);

	return (width << HISTOGRAM_BITS) + (unsigned)(value >> width);
}

/* The middle of a bucket: the inverse of the above. */
static uint64_t middle_of(unsigned bucket)
{
	unsigned width = bucket < 2 * SUB ? 0 : (bucket >> HISTOGRAM_BITS) - 1;
	uint64_t low = (uint64_t)(bucket - (width << HISTOGRAM_BITS)) << width;

	return low + (((uint64_t)1 << width) >> 1);
}

static uint64_t get(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

/* Not one atomic step: only one thread changes a histogram, and a locked instruction costs ten times as much. */
static void add(_Atomic uint64_t *number, uint64_t amount)
{
	atomic_store_explicit(number, get(number) + amount, memory_order_relaxed);
}

void histogram_record_many(struct histogram *histogram, uint64_t value, uint64_t count)
{
	if (count == 0)
		return;
	add(&histogram->counts[bucket_of(value)], count);
	add(&histogram->sum, value * count);
	if (value > get(&histogram->max))
		atomic_store_explicit(&histogram->max, value, memory_order_relaxed);
	add(&histogram->total, count);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
	histogram_record_many(histogram, value, 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint64_t max = get(&from->max), total = 0;

	/* Counted anew, so that the total is that of the buckets even while @from goes on. */
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t count = get(&from->counts[i]);

		if (count == 0)
			continue;
		add(&into->counts[i], count);
		total += count;
	}
	add(&into->sum, get(&from->sum));
	if (max > get(&into->max))
		atomic_store_explicit(&into->max, max, memory_order_relaxed);
	add(&into->total, total);
}

void histogram_reset(struct histogram *histogram)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		atomic_store_explicit(&histogram->counts[i], 0, memory_order_relaxed);
	atomic_store_explicit(&histogram->sum, 0, memory_order_relaxed);
	atomic_store_explicit(&histogram->max, 0, memory_order_relaxed);
	atomic_store_explicit(&histogram->total, 0, memory_order_relaxed);
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	uint64_t total = get(&histogram->total), max = get(&histogram->max), seen = 0;
	double wanted = share * (double)total;

	if (total == 0)
		return 0;
	for (unsigned i = 0; share < 1 && i < HISTOGRAM_BUCKETS; i++) {
		uint64_t count = get(&histogram->counts[i]), middle;

		seen += count;
		if (count == 0 || (double)seen < wanted)
			continue;
		middle = middle_of(i);
		return middle < max ? middle : max;
	}
	return max;
}

uint64_t histogram_total(const struct histogram *histogram)
{
	return get(&histogram->total);
}

uint64_t histogram_max(const struct histogram *histogram)
{
	return get(&histogram->max);
}

double histogram_mean(const struct histogram *histogram)
{
	uint64_t total = get(&histogram->total);

	return total == 0 ? 0 : (double)get(&histogram->sum) / (double)total;
}
