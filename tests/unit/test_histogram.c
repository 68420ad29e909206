/* histogram: within 1 % at every value, whatever the distribution. */
#include "protocol/histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/random.h"

static struct histogram histogram;

static void check_one(uint64_t value)
{
	uint64_t found;

	histogram_reset(&histogram);
	/* Something larger above it, so that the maximum does not correct the middle of the bucket. */
	histogram_record(&histogram, value);
	histogram_record(&histogram, UINT64_MAX);
	found = histogram_quantile(&histogram, 0.5);
	cr_assert(found >= value ? found - value <= value / 100 : value - found <= value / 100,
		  "%llu came back as %llu", (unsigned long long)value, (unsigned long long)found);
}

Test(histogram, every_value_is_within_one_percent)
{
	for (uint64_t value = 0; value < 20000; value++)
		check_one(value);
	for (unsigned bit = 0; bit < 64; bit++)
		for (int64_t beside = -2; beside <= 2; beside++)
			check_one(((uint64_t)1 << bit) + (uint64_t)beside);
	/* Both ends and the middle of every bucket. */
	for (unsigned width = 1; width < 58; width++)
		for (uint64_t sub = 64; sub < 128; sub++) {
			check_one(sub << width);
			check_one((sub << width) + ((uint64_t)1 << (width - 1)));
			check_one((sub << width) + ((uint64_t)1 << width) - 1);
		}
}

Test(histogram, an_empty_one_is_zero)
{
	histogram_reset(&histogram);
	cr_assert_eq(histogram_quantile(&histogram, 0.5), 0);
	cr_assert_eq(histogram_total(&histogram), 0);
	cr_assert_eq(histogram_max(&histogram), 0);
	cr_assert(histogram_mean(&histogram) == 0);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

Test(histogram, quantiles_agree_with_a_sorted_list)
{
	static uint64_t values[10001];
	static const double shares[] = {0.001, 0.5, 0.9, 0.99, 0.999, 0.9999};
	struct random random = {7};
	size_t count = sizeof(values) / sizeof(values[0]);

	histogram_reset(&histogram);
	for (size_t i = 0; i < count; i++) {
		values[i] = random_number(&random);
		histogram_record(&histogram, values[i]);
	}
	qsort(values, count, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		double wanted = shares[i] * (double)count;
		size_t rank = (size_t)wanted;
		uint64_t exact, found = histogram_quantile(&histogram, shares[i]);

		if ((double)rank < wanted)
			rank++;
		exact = values[rank - 1];
		cr_assert(found >= exact ? found - exact <= exact / 100 : exact - found <= exact / 100,
			  "%g: %llu instead of %llu", shares[i], (unsigned long long)found, (unsigned long long)exact);
	}
	cr_assert_eq(histogram_quantile(&histogram, 1), values[count - 1]);
	cr_assert_eq(histogram_max(&histogram), values[count - 1]);
}

Test(histogram, two_of_them_add_up)
{
	static struct histogram other;

	histogram_reset(&histogram);
	memset(&other, 0, sizeof(other));
	histogram_record_many(&histogram, 10, 3);
	histogram_record(&other, 1000);
	histogram_record(&other, 30);
	histogram_merge(&histogram, &other);
	cr_assert_eq(histogram_total(&histogram), 5);
	cr_assert_eq(histogram_max(&histogram), 1000);
	cr_assert(histogram_mean(&histogram) == 212);
	cr_assert_eq(histogram_quantile(&histogram, 0.6), 10);
	cr_assert_eq(histogram_quantile(&histogram, 0.8), 30);
	cr_assert_eq(histogram_total(&other), 2);
}
