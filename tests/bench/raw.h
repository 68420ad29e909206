/*
 * raw: SQLite in this process, with the daemon's own order, batches, session rows and checkpoints: the yardstick.
 *
 * Carries out what statement_log.h holds. Nothing is decided here and nothing waits: what it takes is what SQLite and
 * the disk take, and a daemon can at best be as fast.
 *
 * Latencies are those of the same closed loop with nothing between clients and SQLite: with N requests in flight, a
 * request is sent at the moment at which the one N before it was committed.
 */
#ifndef KYNETA_BENCH_RAW_H
#define KYNETA_BENCH_RAW_H

#include "protocol/histogram.h"
#include "tests/bench/statement_log.h"

struct raw_options {
	const char *database; /* to be made */
	const struct statement_log *log;
	uint64_t begin, end;  /* the part of it that is measured; all of it is carried out */
	uint64_t in_flight;   /* in all */
	bool sqlite_defaults; /* page cache and checkpoints as SQLite has them, not as the daemon has them */
};

struct raw_result {
	/* of the part that is measured */
	double seconds;
	double cpu;    /* processors kept busy */
	uint64_t rows; /* of records */
	uint64_t transactions;
	uint64_t checkpoints;
	struct histogram latency; /* of rows, nanoseconds */
};

/* raw_run(options, result) - 0, or -1 with a line on stderr. */
int raw_run(const struct raw_options *options, struct raw_result *result);

/*
 * raw_compare(daemon's database, raw's database) - do both hold the same documents, sequence numbers and sizes? 0, or
 * -1 with a line on stderr: then the yardstick did other work.
 */
int raw_compare(const char *database, const char *raw_database);

#endif
