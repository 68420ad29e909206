#include "tests/bench/first.h"

#include <stdio.h>

#include "tests/bench/plain.h"

struct shape {
	unsigned connections, in_flight;
	double goal; /* of the ratio; 0: none */
	double rates[ROUNDS_MAX], ratios[ROUNDS_MAX];
};

static int measure_daemon(const struct measure_options *options, const struct shape *shape, double *rate)
{
	static struct measurement measurement;
	struct work work = *options->work;
	struct measure_options one = *options;
	int failed;

	work.connections = shape->connections;
	work.in_flight = shape->in_flight;
	one.work = &work;
	one.rounds = 1;
	failed = work_prepare(&work);
	if (failed == 0)
		failed = measure_run(&measurement, &one);
	work_release(&work);
	*rate = measurement.rounds[SUBJECT_STORE][0].rate;
	return failed;
}

static int measure_plain(const struct measure_options *options, double *rate)
{
	struct target_options target_options = {.folder = options->target.folder};
	struct target target;
	int failed = target_start(&target, &target_options);

	if (failed == 0)
		failed = plain_run(target.database, options->work->bytes, options->work->seconds, rate);
	target_remove(&target);
	return failed;
}

static int report(const struct measure_options *options, const double *plain, const struct shape *shapes, size_t count,
		  bool check)
{
	int missed = 0;

	printf("Synced appends per second, %zu-byte entries, medians of %u rounds of %g s\n\n", options->work->bytes,
	       options->rounds, options->work->seconds);
	printf("%-34s %10s %8s\n", "", "appends/s", "ratio");
	printf("%-34s %10.0f %8s\n", "SQLite, one transaction each", median_of(plain, options->rounds), "1.00");
	for (size_t i = 0; i < count; i++) {
		double ratio = median_of(shapes[i].ratios, options->rounds);
		char name[64];

		snprintf(name, sizeof(name), "daemon, %u x %u in flight", shapes[i].connections, shapes[i].in_flight);
		printf("%-34s %10.0f %8.2f\n", name, median_of(shapes[i].rates, options->rounds), ratio);
		if (check && ratio < shapes[i].goal) {
			printf("  below the goal of %g\n", shapes[i].goal);
			missed = 1;
		}
	}
	return missed;
}

int first_run(const struct measure_options *options, bool check)
{
	static struct shape shapes[] = {{.connections = 1, .in_flight = 1},
					{.connections = 8, .in_flight = 1},
					{.connections = 8, .in_flight = 64, .goal = 5}};
	static double plain[ROUNDS_MAX];
	size_t count = sizeof(shapes) / sizeof(shapes[0]);

	for (unsigned round = 0; round < options->rounds; round++) {
		if (measure_plain(options, &plain[round]) != 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			if (measure_daemon(options, &shapes[i], &shapes[i].rates[round]) != 0)
				return -1;
			shapes[i].ratios[round] = shapes[i].rates[round] / plain[round];
		}
	}
	return report(options, plain, shapes, count, check);
}
