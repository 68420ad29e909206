#include "daemon/latency.h"

#include <stdio.h>

#include "protocol/histogram.h"

#define WINDOW_SECONDS 10

#define NAME_SIZE 40

static const enum operation timed[] = {OPERATION_APPEND,   OPERATION_REPLACE,	   OPERATION_DELETE,
				       OPERATION_LOAD_ALL, OPERATION_CURRENT_META, OPERATION_LIST_DOC_IDS};

#define TIMED_COUNT (sizeof(timed) / sizeof(timed[0]))

/* The window that is being filled, and the one before it. */
static struct histogram windows[TIMED_COUNT][2];
static unsigned current, seconds;

void latency_record(uint64_t operation, uint64_t us)
{
	for (size_t i = 0; i < TIMED_COUNT; i++) {
		if (operation == (uint64_t)timed[i]) {
			histogram_record(&windows[i][current], us);
			return;
		}
	}
}

void latency_tick(void)
{
	if (++seconds < WINDOW_SECONDS)
		return;
	seconds = 0;
	current = 1 - current;
	for (size_t i = 0; i < TIMED_COUNT; i++)
		if (histogram_total(&windows[i][current]) > 0)
			histogram_reset(&windows[i][current]);
}

uint32_t latency_pairs(void)
{
	return 3 * TIMED_COUNT;
}

static void add(struct buffer *out, enum operation operation, const char *what, uint64_t value)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%s_%s_us", operation_name(operation), what);
	stats_uint(out, name, value);
}

void latency_stats(struct buffer *out)
{
	static struct histogram both;

	for (size_t i = 0; i < TIMED_COUNT; i++) {
		histogram_reset(&both);
		histogram_merge(&both, &windows[i][0]);
		histogram_merge(&both, &windows[i][1]);
		add(out, timed[i], "p50", histogram_quantile(&both, 0.50));
		add(out, timed[i], "p99", histogram_quantile(&both, 0.99));
		add(out, timed[i], "max", histogram_max(&both));
	}
}
