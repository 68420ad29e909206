/*
 * kyneta-store-bench: how many appends per second, beside SQLite in process, in one run.
 *
 * Machines are noisy: each round measures every shape on a fresh daemon and the plain loop right after it, and what
 * counts is the median of the rounds' ratios.
 */
#include <getopt.h>
#include <kyneta/store.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "plain.h"
#include "target.h"

#define ROUNDS_MAX 101

struct shape {
	unsigned connections, in_flight;
	double goal; /* of the ratio; 0: none */
	double rates[ROUNDS_MAX], ratios[ROUNDS_MAX];
};

struct bench {
	const char *daemon, *folder;
	struct load_options load;
	unsigned rounds;
	double plain_rates[ROUNDS_MAX];
};

static void usage(FILE *out)
{
	fputs(
	    "Usage: kyneta-store-bench [options]\n"
	    "\n"
	    "Synced appends per second through the daemon, at 1 connection with 1 request in flight, 8 with 1, and 8 "
	    "with 64,\n"
	    "beside a plain SQLite loop in this process with one transaction per append. Starts a daemon of its own.\n"
	    "\n"
	    "  --daemon PATH    the daemon to start (default: kyneta-stored beside this build)\n"
	    "  --folder PATH    where the databases go while it runs (default: $TMPDIR, else /tmp)\n"
	    "  --rounds N       alternations; medians are taken (default 5)\n"
	    "  --seconds S      of each measurement (default 1)\n"
	    "  --bytes N        of an entry (default 200)\n"
	    "  --help\n"
	    "\n"
	    "Exit status: 0; 1 if something failed or, with --check, a goal was missed; 2 bad options.\n"
	    "  --check          fail if the ratio at 8 x 64 is below 5\n",
	    out);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned count)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static int measure_daemon(const struct bench *bench, const struct shape *shape, double *rate)
{
	struct load_options options = bench->load;
	struct load_result result;
	struct target target;
	int failed = target_start(&target, bench->folder, bench->daemon, NULL);

	options.socket = target.socket;
	options.connections = shape->connections;
	options.in_flight = shape->in_flight;
	if (failed == 0)
		failed = load_run(&options, &result);
	if (target_stop(&target) != 0 || failed != 0)
		return -1;
	*rate = (double)result.requests / result.seconds;
	return 0;
}

static int measure_plain(const struct bench *bench, double *rate)
{
	struct load_result result;
	struct target target;
	int failed = target_start(&target, bench->folder, NULL, NULL);

	if (failed == 0)
		failed = plain_run(target.database, &bench->load, &result);
	target_stop(&target);
	if (failed != 0)
		return -1;
	*rate = (double)result.requests / result.seconds;
	return 0;
}

static int run(struct bench *bench, struct shape *shapes, size_t count)
{
	for (unsigned round = 0; round < bench->rounds; round++) {
		double *plain = &bench->plain_rates[round];

		if (measure_plain(bench, plain) != 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			if (measure_daemon(bench, &shapes[i], &shapes[i].rates[round]) != 0)
				return -1;
			shapes[i].ratios[round] = shapes[i].rates[round] / *plain;
		}
	}
	return 0;
}

static int report(const struct bench *bench, const struct shape *shapes, size_t count, bool check)
{
	int failed = 0;

	printf("Synced appends per second, %u-byte entries, medians of %u rounds of %g s\n\n", bench->load.entry_bytes,
	       bench->rounds, bench->load.seconds);
	printf("%-34s %10s %8s\n", "", "appends/s", "ratio");
	printf("%-34s %10.0f %8s\n", "SQLite, one transaction each", median(bench->plain_rates, bench->rounds), "1.00");
	for (size_t i = 0; i < count; i++) {
		double ratio = median(shapes[i].ratios, bench->rounds);
		char name[64];

		snprintf(name, sizeof(name), "daemon, %u x %u in flight", shapes[i].connections, shapes[i].in_flight);
		printf("%-34s %10.0f %8.2f\n", name, median(shapes[i].rates, bench->rounds), ratio);
		if (check && ratio < shapes[i].goal) {
			printf("  below the goal of %g\n", shapes[i].goal);
			failed = 1;
		}
	}
	return failed;
}

static double number(const char *option, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (*end != '\0' || end == text || !(value >= least && value <= most)) {
		fprintf(stderr, "kyneta-store-bench: --%s takes a number from %g to %g, got \"%s\"\n", option, least,
			most, text);
		exit(2);
	}
	return value;
}

/* The daemon of the same build: ../../daemon/kyneta-stored from here. */
static const char *daemon_beside(void)
{
	static char path[4096 + 64];
	char self[4096];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (size < 0)
		return "kyneta-stored";
	self[size] = '\0';
	snprintf(path, sizeof(path), "%s/../../daemon/kyneta-stored", dirname(self));
	return path;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"daemon", required_argument, NULL, 'd'}, {"folder", required_argument, NULL, 'f'},
	    {"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 's'},
	    {"bytes", required_argument, NULL, 'b'},  {"check", no_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},	      {0},
	};
	static struct shape shapes[] = {{.connections = 1, .in_flight = 1},
					{.connections = 8, .in_flight = 1},
					{.connections = 8, .in_flight = 64, .goal = 5}};
	static struct bench bench = {.rounds = 5,
				     .load = {.entry_bytes = 200, .durability = KYNETA_STORE_SYNCED, .seconds = 1}};
	size_t count = sizeof(shapes) / sizeof(shapes[0]);
	bool check = false;
	int option;

	bench.daemon = daemon_beside();
	bench.folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			bench.daemon = optarg;
			break;
		case 'f':
			bench.folder = optarg;
			break;
		case 'r':
			bench.rounds = (unsigned)number("rounds", optarg, 1, ROUNDS_MAX);
			break;
		case 's':
			bench.load.seconds = number("seconds", optarg, 0.01, 3600);
			break;
		case 'b':
			bench.load.entry_bytes = (unsigned)number("bytes", optarg, 0, 64 << 20);
			break;
		case 'c':
			check = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (run(&bench, shapes, count) != 0) {
		fputs("kyneta-store-bench: a measurement failed\n", stderr);
		return 1;
	}
	return report(&bench, shapes, count, check);
}
