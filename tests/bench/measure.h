/*
 * measure: rounds of one piece of work, the subjects in turn in each, and what came out.
 *
 * Machines are noisy: only what was measured in the same round is compared, and what counts is the median of the
 * rounds.
 */
#ifndef KYNETA_BENCH_MEASURE_H
#define KYNETA_BENCH_MEASURE_H

#include "tests/bench/load.h"
#include "tests/bench/server.h"
#include "tests/bench/target.h"

#define ROUNDS_MAX 101

enum subject {
	SUBJECT_STORE,	      /* the daemon, or another backend */
	SUBJECT_RAW,	      /* SQLite in process, with the daemon's order and batches */
	SUBJECT_RAW_DEFAULTS, /* the same with SQLite's own cache and checkpoints */
	SUBJECTS,
};

/* What one subject did in one round. */
struct figures {
	double rate;	   /* requests per second */
	double items_rate; /* records and ids read, per second */
	double p50_us, p99_us, p999_us, max_us, mean_us;
	double batch; /* requests per commit; 0: unknown */
	double checkpoints;
	/* of the daemon */
	double commit_us, checkpoint_us, gate_closed_max_us, wal_peak_bytes, memory_kib;
	double loop_cpu, thread_cpu; /* processors kept busy by its loop; by its other threads */
	double cpu_us;	      /* of both, for each request: says more than the rate where others use the processors */
	double generator_cpu; /* by what makes the load: near the number of generators it is the limit */
	/* of the load beside the work */
	double beside_rate;
};

/* X(member): each of the above once. */
#define FIGURES_LIST(X)                                                                                                \
	X(rate)                                                                                                        \
	X(items_rate)                                                                                                  \
	X(p50_us)                                                                                                      \
	X(p99_us)                                                                                                      \
	X(p999_us)                                                                                                     \
	X(max_us)                                                                                                      \
	X(mean_us)                                                                                                     \
	X(batch)                                                                                                       \
	X(checkpoints)                                                                                                 \
	X(commit_us)                                                                                                   \
	X(checkpoint_us)                                                                                               \
	X(gate_closed_max_us)                                                                                          \
	X(wal_peak_bytes)                                                                                              \
	X(memory_kib)                                                                                                  \
	X(loop_cpu)                                                                                                    \
	X(thread_cpu)                                                                                                  \
	X(cpu_us)                                                                                                      \
	X(generator_cpu)                                                                                               \
	X(beside_rate)

struct measure_options {
	const struct backend *backend; /* NULL: naive processes */
	const char *address;	       /* of a server that runs; NULL: a daemon is started for each round */
	struct target_options target;
	struct work *work;	/* prepared */
	struct work *beside;	/* prepared; load_all of one large document meanwhile; NULL: none */
	unsigned idle;		/* connections that do nothing meanwhile */
	bool fill;		/* make the documents first */
	bool raw, raw_defaults; /* subjects too */
	unsigned rounds;
};

struct measurement {
	const struct measure_options *options;
	bool there[SUBJECTS];
	struct figures rounds[SUBJECTS][ROUNDS_MAX];
	struct histogram latency[SUBJECTS]; /* of all rounds */
	struct histogram by_operation[WORK_OPERATIONS];
	double sync_us; /* what an fdatasync takes here, slowed down or not */
};

/* measure_run(measurement, options) - 0, or -1 with a line on stderr. */
int measure_run(struct measurement *measurement, const struct measure_options *options);

/* measure_median(measurement, subject, member) - of the rounds; member is an offset in struct figures. */
double measure_median(const struct measurement *measurement, enum subject subject, size_t member);
#define MEDIAN(measurement, subject, member) measure_median(measurement, subject, offsetof(struct figures, member))

/* measure_ratio(measurement, subject, share) - the store's rate over the subject's, round by round: the median for 0.5,
 * the least for 0, the greatest for 1. */
double measure_ratio(const struct measurement *measurement, enum subject subject, double share);

/* measure_sync(folder, us) - what an fdatasync of a page takes there. 0, or -1 with a line on stderr. */
int measure_sync(const char *folder, double *us);

/* median_of(values, count) - at most ROUNDS_MAX. quantile_of: share 0 the least, 1 the greatest. */
double median_of(const double *values, unsigned count);
double quantile_of(const double *values, unsigned count, double share);

#endif
