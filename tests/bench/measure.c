#include "tests/bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/clock.h"
#include "tests/bench/fill.h"
#include "tests/bench/idle.h"
#include "tests/bench/naive.h"
#include "tests/bench/raw.h"
#include "tests/bench/slow_fsync.h"

#define SYNC_PROBES 51

/* One round of the store. */
struct round {
	struct measurement *measurement;
	const struct measure_options *options;
	struct figures *figures;
	struct target target;
	kyneta_store *control; /* for the daemon's counters; NULL: another backend */
	struct server_counters before, after;
	uint64_t log_begin, log_end;
	uint64_t begin_ns, loop_ns, all_ns; /* the clock, and the daemon's threads', when counting began */
	double requests;		    /* that were counted */
	bool recorded;			    /* for the yardstick: not counted itself */
	bool failed;
};

/* ---- medians ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double quantile_of(const double *values, unsigned count, double share)
{
	double sorted[ROUNDS_MAX], at = share * (count - 1);
	unsigned low = (unsigned)at;

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	if (low + 1 >= count)
		return sorted[count - 1];
	return sorted[low] + (sorted[low + 1] - sorted[low]) * (at - low);
}

double median_of(const double *values, unsigned count)
{
	return quantile_of(values, count, 0.5);
}

double measure_median(const struct measurement *measurement, enum subject subject, size_t member)
{
	double values[ROUNDS_MAX] = {0};
	unsigned count = measurement->options->rounds;

	for (unsigned i = 0; i < count; i++)
		memcpy(&values[i], (const char *)&measurement->rounds[subject][i] + member, sizeof(values[i]));
	return median_of(values, count);
}

double measure_ratio(const struct measurement *measurement, enum subject subject, double share)
{
	double ratios[ROUNDS_MAX];
	unsigned count = measurement->options->rounds;

	for (unsigned i = 0; i < count; i++)
		ratios[i] = measurement->rounds[SUBJECT_STORE][i].rate / measurement->rounds[subject][i].rate;
	return quantile_of(ratios, count, share);
}

int measure_sync(const char *folder, double *us)
{
	static const char page[8192] = "x";
	double took[SYNC_PROBES];
	char path[TARGET_PATH_SIZE];
	int fd, failed = 0;

	snprintf(path, sizeof(path), "%s/kyneta-bench-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	for (unsigned i = 0; fd >= 0 && !failed && i < SYNC_PROBES; i++) {
		uint64_t start;

		failed = pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) != (ssize_t)sizeof(page);
		start = clock_ns();
		failed |= fdatasync(fd) != 0;
		took[i] = (double)(clock_ns() - start) / 1000;
	}
	if (fd < 0 || failed) {
		fprintf(stderr, "kyneta-store-bench: %s: %s\n", path, strerror(errno));
		failed = 1;
	} else {
		*us = median_of(took, SYNC_PROBES);
	}
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return failed ? -1 : 0;
}

/* ---- the store ---- */

static void counting_begins(void *context)
{
	struct round *round = context;

	if (round->target.log != NULL)
		round->log_begin = atomic_load(&round->target.log->end);
	round->begin_ns = clock_ns();
	target_cpu_ns(&round->target, &round->loop_ns, &round->all_ns);
	if (round->control != NULL && server_read(round->control, &round->before) != 0)
		round->failed = true;
}

static void counting_ends(void *context)
{
	struct round *round = context;
	uint64_t loop, all;
	double took;

	if (round->target.log != NULL)
		round->log_end = atomic_load(&round->target.log->end);
	target_cpu_ns(&round->target, &loop, &all);
	took = (double)(clock_ns() - round->begin_ns);
	round->figures->loop_cpu = (double)(loop - round->loop_ns) / took;
	round->figures->thread_cpu = (double)(all - round->all_ns) / took - round->figures->loop_cpu;
	if (round->control != NULL && server_read(round->control, &round->after) != 0)
		round->failed = true;
	round->figures->memory_kib = (double)target_memory_kib(&round->target);
}

static void take_latency(struct figures *figures, const struct histogram *latency)
{
	figures->p50_us = (double)histogram_quantile(latency, 0.5) / 1000;
	figures->p99_us = (double)histogram_quantile(latency, 0.99) / 1000;
	figures->p999_us = (double)histogram_quantile(latency, 0.999) / 1000;
	figures->max_us = (double)histogram_max(latency) / 1000;
	figures->mean_us = histogram_mean(latency) / 1000;
}

static void take_server(struct figures *figures, const struct round *round)
{
	struct server_counters counters = round->after;

	if (round->control == NULL)
		return;
	server_since(&counters, &round->before);
	if (counters.batches > 0) {
		figures->batch = (double)counters.batch_requests / (double)counters.batches;
		figures->commit_us = (double)counters.commit_us / (double)counters.batches;
	}
	if (counters.checkpoints > 0)
		figures->checkpoint_us = (double)counters.checkpoint_us / (double)counters.checkpoints;
	figures->checkpoints = (double)counters.checkpoints;
	figures->gate_closed_max_us = (double)counters.gate_closed_max_us;
	figures->wal_peak_bytes = (double)counters.wal_peak_bytes;
}

static int open_control(struct round *round, const char *address)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;

	if (round->options->backend != &backend_kyneta)
		return 0;
	options.path = address;
	options.name = "bench control";
	if (kyneta_store_open(&options, &round->control, &error) == 0)
		return 0;
	fprintf(stderr, "kyneta-store-bench: %s: %s\n", address, error.message);
	return -1;
}

static int make_documents(const struct measure_options *options, const char *address)
{
	if (options->fill && fill_run(options->backend, address, options->work) != 0)
		return -1;
	return options->beside != NULL && options->fill ? fill_run(options->backend, address, options->beside) : 0;
}

static int load_store(struct round *round, const char *address)
{
	static struct load_result results[2];
	const struct measure_options *options = round->options;
	struct load_group groups[2] = {{options->backend, address, options->work, &results[0]},
				       {options->backend, address, options->beside, &results[1]}};
	struct load_hooks hooks = {counting_begins, counting_ends, round};
	struct figures *figures = round->figures;
	struct idle idle = {.sockets = NULL};
	int failed = 0;

	if (make_documents(options, address) != 0 || open_control(round, address) != 0)
		return -1;
	if (options->idle > 0)
		failed = idle_open(&idle, address, options->idle);
	if (failed == 0)
		failed = load_run(groups, options->beside == NULL ? 1 : 2, &hooks);
	if (failed == 0 && results[0].requests == 0) {
		fprintf(stderr, "kyneta-store-bench: nothing was answered in %g s\n", results[0].seconds);
		failed = -1;
	}
	if (failed == 0 && !round->failed) {
		round->requests = (double)results[0].requests;
		figures->rate = round->requests / results[0].seconds;
		figures->cpu_us = (figures->loop_cpu + figures->thread_cpu) / figures->rate * 1e6;
		figures->generator_cpu = results[0].cpu;
		figures->items_rate = (double)results[0].items / results[0].seconds;
		figures->beside_rate = options->beside == NULL ? 0 : (double)results[1].items / results[1].seconds;
		take_latency(figures, &results[0].all);
		take_server(figures, round);
	}
	if (failed == 0 && !round->failed && !round->recorded) {
		histogram_merge(&round->measurement->latency[SUBJECT_STORE], &results[0].all);
		for (unsigned i = 0; i < WORK_OPERATIONS; i++)
			histogram_merge(&round->measurement->by_operation[i], &results[0].latency[i]);
	}
	idle_close(&idle);
	kyneta_store_free(round->control);
	return failed != 0 || round->failed ? -1 : 0;
}

/* ---- the yardstick ---- */

static int run_raw(struct round *round, enum subject subject, struct figures *figures)
{
	static struct raw_result result;
	const struct work *work = round->options->work;
	struct target_options target_options = {.folder = round->options->target.folder};
	struct target target;
	struct raw_options options = {.log = round->target.log,
				      .begin = round->log_begin,
				      .end = round->log_end,
				      .in_flight = (uint64_t)work->connections * work->in_flight,
				      .sqlite_defaults = subject == SUBJECT_RAW_DEFAULTS};
	int failed = target_start(&target, &target_options);

	options.database = target.database;
	sync();
	slow_fsync_us = round->options->target.slow_fsync_us;
	if (failed == 0)
		failed = raw_run(&options, &result);
	slow_fsync_us = 0;
	if (failed == 0 && result.seconds <= 0) {
		fprintf(stderr, "kyneta-store-bench: nothing was written in the time\n");
		failed = -1;
	}
	if (failed == 0)
		failed = raw_compare(round->target.database, target.database);
	target_remove(&target);
	if (failed != 0)
		return -1;
	/* The same part of the same work, so the same number of requests, in another time. */
	figures->rate = round->requests / result.seconds;
	figures->batch = result.transactions == 0 ? 0 : (double)result.rows / (double)result.transactions;
	figures->checkpoints = (double)result.checkpoints;
	figures->thread_cpu = result.cpu;
	figures->cpu_us = figures->thread_cpu / figures->rate * 1e6;
	take_latency(figures, &result.latency);
	histogram_merge(&round->measurement->latency[subject], &result.latency);
	return 0;
}

/* ---- rounds ---- */

static int run_daemon(struct round *round, const struct target_options *options)
{
	int failed = target_start(&round->target, options);

	if (failed == 0)
		failed = load_store(round, round->target.socket);
	if (target_stop(&round->target) != 0)
		failed = -1;
	return failed;
}

/* The same work once more with its statements noted, which takes the daemon time; and then SQLite with what was noted.
 */
static int run_yardstick(const struct round *measured, unsigned number)
{
	struct measurement *measurement = measured->measurement;
	const struct measure_options *options = measured->options;
	struct figures figures = {0};
	struct round round = {.measurement = measurement,
			      .options = options,
			      .figures = &figures,
			      .target = {.log_fd = -1},
			      .recorded = true};
	int failed = run_daemon(&round, &options->target);

	if (failed == 0 && options->raw)
		failed = run_raw(&round, SUBJECT_RAW, &measurement->rounds[SUBJECT_RAW][number]);
	if (failed == 0 && options->raw_defaults)
		failed = run_raw(&round, SUBJECT_RAW_DEFAULTS, &measurement->rounds[SUBJECT_RAW_DEFAULTS][number]);
	target_remove(&round.target);
	return failed;
}

/* A daemon of its own. */
static int run_daemon_round(struct round *round, unsigned number)
{
	const struct measure_options *options = round->options;
	struct target_options target = options->target;
	int failed;

	target.record = false;
	failed = run_daemon(round, &target);
	target_remove(&round->target);
	if (failed == 0 && (options->raw || options->raw_defaults))
		failed = run_yardstick(round, number);
	return failed;
}

static int run_naive_round(struct round *round)
{
	static struct load_result result;
	struct target_options target_options = {.folder = round->options->target.folder};
	int failed = target_start(&round->target, &target_options);

	slow_fsync_us = round->options->target.slow_fsync_us;
	sync();
	if (failed == 0)
		failed = naive_run(round->target.database, round->options->work, &result);
	slow_fsync_us = 0;
	target_remove(&round->target);
	if (failed != 0)
		return failed;
	round->figures->rate = (double)result.requests / result.seconds;
	take_latency(round->figures, &result.all);
	histogram_merge(&round->measurement->latency[SUBJECT_STORE], &result.all);
	return 0;
}

/* A server that runs already. */
static int run_server_round(struct round *round)
{
	const struct measure_options *options = round->options;

	if (options->backend == &backend_kyneta && target_wait(options->address) != 0)
		return -1;
	if (options->fill && options->backend->reset(options->address) != 0)
		return -1;
	sync();
	return load_store(round, options->address);
}

int measure_run(struct measurement *measurement, const struct measure_options *options)
{
	int failed;

	memset(measurement, 0, sizeof(*measurement));
	measurement->options = options;
	measurement->there[SUBJECT_STORE] = true;
	measurement->there[SUBJECT_RAW] = options->raw;
	measurement->there[SUBJECT_RAW_DEFAULTS] = options->raw_defaults;
	slow_fsync_us = options->target.slow_fsync_us;
	failed = measure_sync(options->target.folder, &measurement->sync_us);
	slow_fsync_us = 0;
	for (unsigned i = 0; failed == 0 && i < options->rounds; i++) {
		struct round round = {.measurement = measurement,
				      .options = options,
				      .figures = &measurement->rounds[SUBJECT_STORE][i],
				      .target = {.log_fd = -1}};

		if (options->backend == NULL)
			failed = run_naive_round(&round);
		else if (options->address != NULL)
			failed = run_server_round(&round);
		else
			failed = run_daemon_round(&round, i);
	}
	return failed;
}
