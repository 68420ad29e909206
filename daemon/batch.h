/*
 * batch: one transaction with many requests in it (writer.h says when; this says how).
 */
#ifndef KYNETA_DAEMON_BATCH_H
#define KYNETA_DAEMON_BATCH_H

#include "daemon/session.h"
#include "daemon/space.h"
#include "daemon/store.h"
#include "daemon/writer.h"

/*
 * Requests that come while a batch is carried out may join it: source(context, jobs) is asked at the end of the list,
 * before the commit, and appends those to @jobs for which batch_takes. It may wait for them.
 */
typedef void (*batch_source)(void *context, struct job_list *jobs);

struct batch {
	const struct writer_options *options;
	struct engine *engine;
	struct stores stores;
	struct sessions sessions;
	batch_source source; /* while jobs may still join; or NULL */
	void *source_context;
	bool synced;   /* the transaction in progress will be */
	bool unsynced; /* something was committed and not synced since */
	bool foreign;  /* another program wrote, and that is not accounted for in a commit yet */
	struct space space;
	bool begun;		 /* batch_try_begin has begun the transaction of the next batch_run */
	bool noticed;		 /* … or has found that another program wrote */
	bool sync_timed;	 /* at least one sync was timed: */
	uint64_t recent_sync_us; /* running mean of what syncing took */
};

/* @options must outlive the batch. */
int batch_init(struct batch *batch, const struct writer_options *options, struct failure *failure);
void batch_free(struct batch *batch);

/* batch_limit(batch, limits) - between two batches: what holds from now on, besides what batch_init was given. */
void batch_limit(struct batch *batch, const struct writer_limits *limits);

/*
 * batch_run(batch, jobs, source, context) - carry out all jobs, and those that @source (NULL: none) adds to them, and
 * set their results. False: a fatal failure; the results say so (io_error, unknown), and nothing more may be done with
 * the database.
 */
bool batch_run(struct batch *batch, struct job_list *jobs, batch_source source, void *context);

/* batch_takes(batch, job) - may it still join the transaction in progress? */
bool batch_takes(const struct batch *batch, const struct job *job);

/*
 * batch_try_begin(batch, jobs) - begin the transaction for batch_run(batch, jobs, …), which must follow. False if that
 * would have to wait for another program, or has more to do than carry these jobs out.
 */
bool batch_try_begin(struct batch *batch, const struct job_list *jobs);

/*
 * batch_expire_sessions(batch, before) - forget sessions last used before (seconds since 1970). Failing is only logged,
 * unless it is fatal: false, as of batch_run.
 */
bool batch_expire_sessions(struct batch *batch, uint64_t before);

#endif
