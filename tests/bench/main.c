/*
 * kyneta-store-bench: how fast the daemon is, and beside what.
 *
 *   options.c    the command line                    work.c       which requests
 *   first.c      the first figure                    trace.c      recorded ones
 *   measure.c    rounds of one piece of work         load.c       the parent of the generators
 *   report.c     what came out                       generator.c  sends requests, counts answers
 *   target.c     a daemon to measure                 backend*.c   to whom
 *   raw.c        the yardstick: SQLite in process    fill.c       what must be there before
 *   naive.c      processes without a daemon          idle.c       connections that do nothing
 *   plain.c      a plain SQLite loop                 server.c     the daemon's counters
 *   machine.c    what is physically here
 */
#include <stdio.h>

#include "tests/bench/first.h"
#include "tests/bench/machine.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"

static int run_work(struct options *options)
{
	static struct measurement measurement;
	int failed = 0;

	if (options->trace_name != NULL) {
		failed = trace_read(&options->trace, options->trace_name);
		options->work.trace = &options->trace;
	}
	if (failed == 0)
		failed = work_prepare(&options->work);
	if (failed == 0 && options->measure.beside != NULL)
		failed = work_prepare(&options->beside);
	if (failed == 0)
		failed = measure_run(&measurement, &options->measure);
	if (failed == 0 && options->json)
		report_json(&measurement);
	else if (failed == 0)
		report_table(&measurement);
	if (failed == 0 && options->plot != NULL)
		failed = report_plot(&measurement, options->plot);
	work_release(&options->work);
	work_release(&options->beside);
	trace_free(&options->trace);
	return failed == 0 ? 0 : 1;
}

static int run_machine(const struct options *options)
{
	struct machine machine;

	if (machine_measure(&machine, options->measure.target.folder) != 0)
		return 1;
	machine_print(&machine, options->json);
	return 0;
}

int main(int argc, char **argv)
{
	static struct options options;
	int status;

	options_parse(&options, argc, argv);
	if (options.machine)
		return run_machine(&options);
	status = options.first ? first_run(&options.measure, options.check) : run_work(&options);
	if (status < 0)
		fputs("kyneta-store-bench: a measurement failed\n", stderr);
	return status == 0 ? 0 : 1;
}
