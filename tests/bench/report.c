#include "tests/bench/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *subject_name(const struct measurement *measurement, enum subject subject)
{
	const struct backend *backend = measurement->options->backend;

	switch (subject) {
	case SUBJECT_STORE:
		return backend == NULL ? "processes" : backend == &backend_kyneta ? "daemon" : backend->name;
	case SUBJECT_RAW:
		return "raw";
	case SUBJECT_RAW_DEFAULTS:
		return "raw, SQLite's defaults";
	case SUBJECTS:
		break;
	}
	return "";
}

/* ---- for people ---- */

static void print_mix(const struct work *work)
{
	if (work->trace != NULL) {
		printf("recorded calls");
		return;
	}
	for (unsigned i = 0, printed = 0; i < WORK_OPERATIONS; i++)
		if (work->weights[i] > 0)
			printf("%s%s", printed++ > 0 ? " + " : "", work_operation_name((enum work_operation)i));
	printf(" of %zu bytes%s on %llu documents", work->bytes, work->text ? " of text" : "",
	       (unsigned long long)work->documents_total);
}

static void print_head(const struct measurement *measurement)
{
	const struct work *work = measurement->options->work;

	printf("%u x %u in flight, ", work->connections, work->in_flight);
	print_mix(work);
	printf(", %s", work->durability == KYNETA_STORE_COMMITTED ? "committed" : "synced");
	if (work->rate > 0)
		printf(", %g requests/s whatever the answers do", work->rate);
	if (measurement->options->idle > 0)
		printf(", beside %u idle connections", measurement->options->idle);
	printf("\nmedians of %u rounds", measurement->options->rounds);
	if (work->requests == 0)
		printf(" of %g s", work->seconds);
	printf("; an fdatasync takes %.0f us here\n\n", measurement->sync_us);
	printf("%-24s %12s %10s %10s %10s %10s %10s   %s\n", "", "requests/s", "p50 us", "p99 us", "p99.9 us", "max us",
	       "CPU us", "daemon over it");
}

static void print_subject(const struct measurement *measurement, enum subject subject)
{
	printf("%-24s %12.0f %10.1f %10.1f %10.1f %10.1f %10.2f", subject_name(measurement, subject),
	       MEDIAN(measurement, subject, rate), MEDIAN(measurement, subject, p50_us),
	       MEDIAN(measurement, subject, p99_us), MEDIAN(measurement, subject, p999_us),
	       MEDIAN(measurement, subject, max_us), MEDIAN(measurement, subject, cpu_us));
	if (subject != SUBJECT_STORE)
		printf("   %.3f (%.3f to %.3f)", measure_ratio(measurement, subject, 0.5),
		       measure_ratio(measurement, subject, 0), measure_ratio(measurement, subject, 1));
	printf("\n");
}

static void print_operations(const struct measurement *measurement)
{
	const struct histogram *latency = measurement->by_operation;

	for (unsigned i = 0; i < WORK_OPERATIONS; i++)
		if (histogram_total(&latency[i]) > 0 &&
		    histogram_total(&latency[i]) < histogram_total(&measurement->latency[SUBJECT_STORE]))
			printf("  %-22s %12s %10.1f %10.1f %10.1f %10.1f\n",
			       work_operation_name((enum work_operation)i), "",
			       (double)histogram_quantile(&latency[i], 0.5) / 1000,
			       (double)histogram_quantile(&latency[i], 0.99) / 1000,
			       (double)histogram_quantile(&latency[i], 0.999) / 1000,
			       (double)histogram_max(&latency[i]) / 1000);
}

static void print_server(const struct measurement *measurement)
{
	const struct work *work = measurement->options->work;

	if (measurement->options->backend != &backend_kyneta)
		return;
	printf("\n");
	if (MEDIAN(measurement, SUBJECT_STORE, batch) > 0)
		printf("batches of %.1f (%u in flight), commits of %.0f us, ",
		       MEDIAN(measurement, SUBJECT_STORE, batch), work->connections * work->in_flight,
		       MEDIAN(measurement, SUBJECT_STORE, commit_us));
	printf("%.0f checkpoints", MEDIAN(measurement, SUBJECT_STORE, checkpoints));
	if (MEDIAN(measurement, SUBJECT_STORE, checkpoints) > 0)
		printf(" of %.1f ms (readers out for %.1f ms at most)",
		       MEDIAN(measurement, SUBJECT_STORE, checkpoint_us) / 1000,
		       MEDIAN(measurement, SUBJECT_STORE, gate_closed_max_us) / 1000);
	printf(", log at most %.1f MiB", MEDIAN(measurement, SUBJECT_STORE, wal_peak_bytes) / (1 << 20));
	if (MEDIAN(measurement, SUBJECT_STORE, memory_kib) > 0)
		printf(", %.1f MiB of memory", MEDIAN(measurement, SUBJECT_STORE, memory_kib) / 1024);
	printf("\n");
	printf("processors kept busy: loop %.2f, writer and readers %.2f, load %.2f\n",
	       MEDIAN(measurement, SUBJECT_STORE, loop_cpu), MEDIAN(measurement, SUBJECT_STORE, thread_cpu),
	       MEDIAN(measurement, SUBJECT_STORE, generator_cpu));
	if (MEDIAN(measurement, SUBJECT_STORE, items_rate) > 0)
		printf("%.0f records or ids read per second\n", MEDIAN(measurement, SUBJECT_STORE, items_rate));
	if (MEDIAN(measurement, SUBJECT_STORE, beside_rate) > 0)
		printf("beside it a large document was loaded at %.0f records/s\n",
		       MEDIAN(measurement, SUBJECT_STORE, beside_rate));
}

void report_table(const struct measurement *measurement)
{
	print_head(measurement);
	for (unsigned i = 0; i < SUBJECTS; i++) {
		if (measurement->there[i])
			print_subject(measurement, (enum subject)i);
		if (i == SUBJECT_STORE)
			print_operations(measurement);
	}
	print_server(measurement);
}

/* ---- for programs ---- */

static void print_figures(const struct figures *figures)
{
	const char *comma = "";

	printf("{");
#define X(member)                                                                                                      \
	printf("%s\"" #member "\":%.10g", comma, figures->member);                                                     \
	comma = ",";
	FIGURES_LIST(X)
#undef X
	printf("}");
}

static void print_subject_json(const struct measurement *measurement, enum subject subject)
{
	struct figures median;

#define X(member) median.member = MEDIAN(measurement, subject, member);
	FIGURES_LIST(X)
#undef X
	printf("{\"median\":");
	print_figures(&median);
	printf(",\"rounds\":[");
	for (unsigned i = 0; i < measurement->options->rounds; i++) {
		printf("%s", i > 0 ? "," : "");
		print_figures(&measurement->rounds[subject][i]);
	}
	printf("]");
	if (subject != SUBJECT_STORE)
		printf(",\"ratio\":%.10g,\"ratio_least\":%.10g,\"ratio_most\":%.10g",
		       measure_ratio(measurement, subject, 0.5), measure_ratio(measurement, subject, 0),
		       measure_ratio(measurement, subject, 1));
	printf("}");
}

void report_json(const struct measurement *measurement)
{
	static const char *const names[] = {"store", "raw", "raw_defaults"};
	const struct work *work = measurement->options->work;

	printf("{\"backend\":\"%s\",\"connections\":%u,\"in_flight\":%u,\"documents\":%llu,\"bytes\":%zu,"
	       "\"synced\":%s,\"seconds\":%g,\"fdatasync_us\":%.10g",
	       subject_name(measurement, SUBJECT_STORE), work->connections, work->in_flight,
	       (unsigned long long)work->documents_total, work->bytes,
	       work->durability == KYNETA_STORE_COMMITTED ? "false" : "true", work->seconds, measurement->sync_us);
	for (unsigned i = 0; i < SUBJECTS; i++) {
		if (!measurement->there[i])
			continue;
		printf(",\"%s\":", names[i]);
		print_subject_json(measurement, (enum subject)i);
	}
	printf("}\n");
}

/* ---- a plot ---- */

static const char plot_head[] =
    "set terminal svg size 800,450 font 'sans-serif,12' background 'white'\n"
    "set logscale xy\n"
    "set xlabel 'percentile'\nset ylabel 'latency, us'\n"
    "set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, '99.999' 100000)\n"
    "set grid\nset key top left\n";

/* The x axis is 1 / (1 - share): each nine takes as much room as the one before. */
static void plot_curve(FILE *out, const struct histogram *latency)
{
	uint64_t total = histogram_total(latency);

	for (double rest = 1; rest >= 1 / (double)total; rest *= 0.9)
		fprintf(out, "%g %g\n", 1 / rest, (double)histogram_quantile(latency, 1 - rest) / 1000);
	fprintf(out, "%g %g\ne\n", (double)total, (double)histogram_max(latency) / 1000);
}

int report_plot(const struct measurement *measurement, const char *path)
{
	const char *separator = "plot";
	FILE *out = popen("gnuplot", "we");
	int status;

	if (out == NULL) {
		fprintf(stderr, "kyneta-store-bench: gnuplot: %s\n", strerror(errno));
		return -1;
	}
	fprintf(out, "%sset output '%s'\n", plot_head, path);
	for (unsigned i = 0; i < SUBJECTS; i++) {
		if (!measurement->there[i])
			continue;
		fprintf(out, "%s '-' with lines linewidth 2 title \"%s\"", separator,
			subject_name(measurement, (enum subject)i));
		separator = ",";
	}
	fprintf(out, "\n");
	for (unsigned i = 0; i < SUBJECTS; i++)
		if (measurement->there[i])
			plot_curve(out, &measurement->latency[i]);
	status = pclose(out);
	if (status != 0)
		fprintf(stderr, "kyneta-store-bench: gnuplot could not write %s\n", path);
	return status == 0 ? 0 : -1;
}
