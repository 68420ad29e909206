#include "daemon/batch.h"

#include <stdlib.h>

#include "daemon/clock.h"
#include "daemon/gate.h"
#include "daemon/log.h"
#include "daemon/pulse.h"
#include "daemon/quota.h"
#include "daemon/stats.h"

/* So many writes of a batch may find the disk full before each is tried on its own: running it again costs more then.
 */
#define WITHOUT_SPACE_MAX 8

/* Weight of the newest commit's sync in the running mean: one in this many. */
#define SYNC_MEAN_WEIGHT 8

int batch_init(struct batch *batch, const struct writer_options *options, struct failure *failure)
{
	*batch = (struct batch){.options = options, .engine = options->engine};
	space_init(&batch->space, options->engine, options->gate);
	sessions_init(&batch->sessions, options->engine, options->limits.session_window,
		      options->limits.session_timeout);
	return stores_init(&batch->stores, options->engine, options->limits.max_stores,
			   options->limits.document_cache_bytes, failure);
}

void batch_limit(struct batch *batch, const struct writer_limits *limits)
{
	sessions_limit(&batch->sessions, limits->session_window, limits->session_timeout);
	stores_limit(&batch->stores, limits->max_stores, limits->document_cache_bytes);
}

void batch_free(struct batch *batch)
{
	sessions_free(&batch->sessions);
	stores_free(&batch->stores);
}

static bool is_write(const struct job *job)
{
	return job->kind == JOB_REQUEST && operation_is_write(job->request.operation);
}

static bool is_operation(const struct job *job, enum operation operation)
{
	return job->kind == JOB_REQUEST && job->request.operation == (uint64_t)operation;
}

static bool wants_sync(const struct batch *batch, const struct job *job)
{
	if (job->request.durability == DURABILITY_DEFAULT)
		return batch->options->limits.synced_by_default;
	return job->request.durability == DURABILITY_SYNCED;
}

static void fail_from(struct job *job, const struct failure *failure)
{
	job_fail(job, failure->code, OUTCOME_NOT_APPLIED, failure->message);
	job->detail = failure->detail;
	job->refusal = REFUSAL_NONE;
}

/*
 * Fails a job, its own fault or not. One that was carried out before, and asks only what became of it, must not hear
 * that it was not applied; nor can it hear where its document stands, or that it is synced. So it hears nothing, and
 * will be sent again.
 */
static void fail_job(struct job *job, const struct failure *failure, enum error_outcome outcome)
{
	bool done = is_write(job) && session_recall(job->session, job) && job->duplicate;

	fail_from(job, failure);
	job->outcome = outcome;
	job->duplicate = false;
	job->unanswered = done && outcome == OUTCOME_NOT_APPLIED;
}

/* ---- before the transaction ---- */

static int read_claim(struct batch *batch, struct job *job, const char *store_key, struct failure *failure)
{
	struct buffer key = BUFFER_EMPTY, value = BUFFER_EMPTY;
	bool found = false;
	int code;

	own_key_claim(&key, store_key);
	code = key.failed ? failure_set(failure, ERROR_IO_ERROR, "out of memory")
			  : batch->engine->class->get_own(batch->engine, buffer_span(&key), &found, &value, failure);
	if (code == 0 && found && value.size == SESSION_SIZE) {
		job->claimed = true;
		memcpy(job->claimant, value.data, SESSION_SIZE);
	}
	buffer_free(&key);
	buffer_free(&value);
	return code;
}

/* Is there a quota on the store, whatever layout it may get? */
static bool is_limited(const struct job *job)
{
	const struct engine_tables *tables = atomic_load(&job->store->tables);

	for (int layout = LAYOUT_1; layout <= LAYOUT_2; layout++) {
		struct store_quota quota;

		if (tables->metadata[layout] == NULL)
			continue;
		quota = quota_of_store(job->quota, tables->metadata[layout]);
		if (store_quota_any(&quota))
			return true;
	}
	return false;
}

/* False: fatal. */
static bool run_hello(struct batch *batch, struct job *job)
{
	const struct hello *hello = &job->request.hello;
	struct failure failure = {0};
	bool denied;
	const char *key;
	int code;

	code = stores_find(&batch->stores, hello, job->bound, job->bound || job->vouches ? &job->pairing : NULL,
			   &job->store, &failure);
	denied = code == ERROR_DENIED && job->bound;
	if (code == 0) {
		stats_set(stores, batch->stores.count);
		key = atomic_load(&job->store->tables)->key;
		code = session_open(&batch->sessions, key, hello->has_session ? hello->session.data : NULL,
				    &job->session, &failure);
	}
	if (code == 0)
		code = read_claim(batch, job, key, &failure);
	if (code == 0)
		code = usage_open(&batch->stores, job->store, is_limited(job), &failure);
	if (code != 0) {
		fail_from(job, &failure);
		job->outcome = OUTCOME_NONE;
		job->refusal = denied ? REFUSAL_DENIED : REFUSAL_NONE;
		session_close(&batch->sessions, job->session);
		job->session = NULL;
		if (failure.fatal)
			log_write(LOG_CRITICAL, "taking the database in use failed: %s", failure.message);
		return !failure.fatal;
	}
	job->store->sessions++;
	job->through = session_through(job->session);
	return true;
}

/* Everything of that connection was answered before, in earlier batches. */
static void run_leave(struct batch *batch, struct job *job)
{
	session_close(&batch->sessions, job->session);
	job->session = NULL;
	job->store->sessions--;
}

/* ---- inside the transaction ---- */

static int run_claim(struct batch *batch, struct job *job, struct failure *failure)
{
	const struct engine_class *class = batch->engine->class;
	struct buffer key = BUFFER_EMPTY;
	int code;

	own_key_claim(&key, atomic_load(&job->store->tables)->key);
	if (key.failed)
		code = failure_set(failure, ERROR_IO_ERROR, "out of memory");
	else if (job->claimed)
		code = class->put_own(batch->engine, buffer_span(&key), span_of(job->claimant, SESSION_SIZE), failure);
	else
		code = class->delete_own(batch->engine, buffer_span(&key), failure);
	buffer_free(&key);
	return code;
}

/* What one attempt at a batch found out on its way. */
struct attempt {
	bool want_sync; /* something must be synced that this transaction's commit may not sync by itself */
	bool wrote;	/* the transaction has rows in it for sure */
	bool began;
	struct job *culprit;
};

/* Has it carried out, and takes note of what must be synced. */
static int write_it(struct batch *batch, struct job *job, struct attempt *attempt, struct failure *failure)
{
	bool admitted = true;
	int code = batch->space.full ? space_admit(&batch->space, job, &admitted, failure) : 0;

	if (code == 0 && admitted)
		code = store_write(&batch->stores, job, failure);
	if (code == 0 && job->code == 0) {
		attempt->wrote |= job->request.operation != OPERATION_DELETE;
		attempt->want_sync |= job->request.operation == OPERATION_DELETE && wants_sync(batch, job);
	}
	return code;
}

static int run_write(struct batch *batch, struct job *job, struct attempt *attempt, struct failure *failure)
{
	int code = 0;

	job->duplicate = false;
	if (!job->preset)
		job_fail(job, 0, OUTCOME_NONE, NULL);
	/* First of all what became of it before: nothing that has changed since may deny a write that was carried out.
	 */
	if (session_recall(job->session, job)) {
		if (job->duplicate)
			attempt->want_sync |= wants_sync(batch, job);
	} else if (!job->preset && !session_latched(job->session, job)) {
		code = write_it(batch, job, attempt, failure);
	}
	if (code == 0 && (job->duplicate || job->code == ERROR_CONFLICT))
		code = store_position(&batch->stores, job, &job->at, failure);
	return code;
}

/* Whose session is lost gets no answer: its connection is closed. */
static void lose_job(struct job *job)
{
	job_fail(job, ERROR_IO_ERROR, OUTCOME_NOT_APPLIED, NULL);
	job->unanswered = true;
}

static int run_job(struct batch *batch, struct job *job, struct attempt *attempt, struct failure *failure)
{
	pulse_beat(batch->options->pulse);
	if (job->kind == JOB_REQUEST && session_lost(job->session)) {
		lose_job(job);
		return 0;
	}
	if (job->kind == JOB_CLAIM)
		return job->set_aside ? 0 : run_claim(batch, job, failure);
	if (job->kind == JOB_PAIR)
		return job->set_aside ? 0 : stores_write_pairing(&batch->stores, job->store, failure);
	if (is_write(job)) {
		/* What was set aside keeps the failure that it has. */
		int code = job->set_aside ? 0 : run_write(batch, job, attempt, failure);

		if (code == 0 && !session_record(&batch->sessions, job->session, job))
			code = failure_set(failure, ERROR_IO_ERROR, "out of memory");
		return code;
	}
	if (is_operation(job, OPERATION_RESUME))
		session_resume(&batch->sessions, job->session);
	else if (is_operation(job, OPERATION_SYNC))
		attempt->want_sync = true;
	else if (is_operation(job, OPERATION_CLOSE) && !job->set_aside)
		return session_end(&batch->sessions, job->session, failure);
	return 0;
}

/* Begins; and if another program has written meanwhile, forgets what was remembered and begins again. */
static int begin(struct batch *batch, bool synced, struct failure *failure)
{
	const struct engine_class *class = batch->engine->class;
	bool foreign = false;
	int code = 0;

	if (!batch->begun)
		code = class->begin(batch->engine, synced, &foreign, failure);
	batch->begun = false;
	if (code == 0 && (foreign || batch->noticed)) {
		batch->noticed = false;
		stats_add(foreign_changes, 1);
		log_write(LOG_WARNING,
			  "another program has written to the database: everything remembered of it is dropped");
		class->rollback(batch->engine);
		batch->foreign = true;
		stores_forget(&batch->stores);
		stores_refresh(&batch->stores);
		code = class->begin(batch->engine, synced, &foreign, failure);
	}
	if (code == 0 && batch->foreign)
		stores_raise_floor(&batch->stores);
	if (code == 0 && batch->space.full && (code = space_spare(&batch->space, failure)) != 0)
		class->rollback(batch->engine);
	return code;
}

static void note_sync(struct batch *batch, uint64_t sync_us)
{
	uint64_t mean = batch->recent_sync_us;

	batch->recent_sync_us =
	    !batch->sync_timed ? sync_us : (mean * (SYNC_MEAN_WEIGHT - 1) + sync_us) / SYNC_MEAN_WEIGHT;
	batch->sync_timed = true;
}

static int commit(struct batch *batch, bool synced, struct attempt *attempt, struct failure *failure)
{
	uint64_t start = clock_us(), took;
	int code = batch->engine->class->commit(batch->engine, failure);

	if (code != 0)
		return code;
	took = clock_us() - start;
	stats_add(batches, 1);
	stats_add(commit_us, took);
	if (synced) {
		stats_add(batches_synced, 1);
		if (attempt->wrote)
			batch->unsynced = false;
		note_sync(batch, batch->engine->class->sync_us(batch->engine));
	} else {
		batch->unsynced = true;
	}
	batch->foreign = false;
	return 0;
}

bool batch_takes(const struct batch *batch, const struct job *job)
{
	return job->kind == JOB_REQUEST && (batch->synced || !is_write(job) || !wants_sync(batch, job));
}

/* At the end of the list: who has come meanwhile? */
static void join(struct batch *batch, struct job_list *jobs)
{
	struct job **end = jobs->tail;

	batch->source(batch->source_context, jobs);
	for (struct job *job = *end; job != NULL; job = job->next)
		job->preset = job->code != 0;
}

/* One attempt: 0 and committed, or a failure and rolled back; attempt->culprit is the job at which it failed, if it was
 * one. */
static int try_batch(struct batch *batch, struct job_list *jobs, bool synced, struct attempt *attempt,
		     struct failure *failure)
{
	int code = begin(batch, synced, failure);

	*attempt = (struct attempt){.began = code == 0};
	for (struct job *job = jobs->head; code == 0 && job != NULL; job = job->next) {
		attempt->culprit = job;
		code = run_job(batch, job, attempt, failure);
		if (code == 0 && job->next == NULL && batch->source != NULL)
			join(batch, jobs);
	}
	if (code == 0) {
		attempt->culprit = NULL;
		code = batch->space.full ? space_spare(&batch->space, failure) : 0;
	}
	if (code == 0)
		code = sessions_finish(&batch->sessions, failure);
	if (code == 0)
		code = stores_finish(&batch->stores, failure);
	if (code == 0)
		code = commit(batch, synced, attempt, failure);
	if (code == 0) {
		sessions_committed(&batch->sessions);
		stores_committed(&batch->stores);
		return 0;
	}
	if (!failure->fatal && attempt->began)
		batch->engine->class->rollback(batch->engine);
	sessions_rolled_back(&batch->sessions);
	stores_rolled_back(&batch->stores);
	return code;
}

static void fail_all(struct job_list *jobs, const struct failure *failure, enum error_outcome outcome)
{
	for (struct job *job = jobs->head; job != NULL; job = job->next) {
		/* What was refused before the database had a say stays refused. */
		if (job->kind == JOB_LEAVE || job->kind == JOB_HELLO || job->preset || job->set_aside)
			continue;
		fail_job(job, failure, outcome);
	}
}

/* Nothing could be committed: the truth for each, and what it means for the writes that follow. */
static void give_up(struct batch *batch, struct job_list *jobs, const struct failure *failure)
{
	fail_all(jobs, failure, OUTCOME_NOT_APPLIED);
	for (struct job *job = jobs->head; job != NULL; job = job->next) {
		if (!is_write(job) ||
		    (!session_lost(job->session) && session_record(&batch->sessions, job->session, job)))
			continue;
		if (!session_lost(job->session))
			log_write(LOG_WARNING, "no memory to remember a write that failed: its connection is closed");
		session_lose(job->session);
		lose_job(job);
	}
	/* Latches and refusals hold, though they are not written down: the clients are told. */
	sessions_committed(&batch->sessions);
}

static bool run_transaction(struct batch *batch, struct job_list *jobs, bool *fatal, struct attempt *attempt);

/* A commit that failed and no job alone is to blame: each on its own, so that only those fail that must. */
static bool run_one_by_one(struct batch *batch, struct job_list *jobs, bool *fatal, struct attempt *attempt)
{
	struct job_list all = *jobs, single;
	struct job *job;

	*jobs = (struct job_list){0};
	while ((job = job_list_pop(&all)) != NULL) {
		struct attempt one = {0};

		single = (struct job_list){0};
		job_list_push(&single, job);
		if (!*fatal)
			run_transaction(batch, &single, fatal, &one);
		attempt->want_sync |= one.want_sync;
		attempt->wrote |= one.wrote;
		job_list_move(jobs, &single);
	}
	return !*fatal;
}

static bool needs_transaction(const struct batch *batch, const struct job_list *jobs)
{
	if (sessions_renewing(&batch->sessions))
		return true;
	for (const struct job *job = jobs->head; job != NULL; job = job->next)
		if (job->kind == JOB_CLAIM || job->kind == JOB_PAIR || is_write(job) ||
		    is_operation(job, OPERATION_CLOSE))
			return true;
	return false;
}

static bool any_synced(const struct batch *batch, const struct job_list *jobs)
{
	for (const struct job *job = jobs->head; job != NULL; job = job->next)
		if (job->kind == JOB_CLAIM || (is_write(job) && !job->preset && wants_sync(batch, job)))
			return true;
	return false;
}

/* That a full disk refuses writes was said when it was found full. */
static enum log_level failure_level(const struct batch *batch, const struct failure *failure)
{
	if (failure->fatal)
		return LOG_CRITICAL;
	return failure->code == ERROR_DISK_FULL && batch->space.full ? LOG_DEBUG : LOG_WARNING;
}

/* The batch goes on without the job at which it failed. */
static void set_aside(struct batch *batch, struct job *job, const struct failure *failure)
{
	fail_job(job, failure, OUTCOME_NOT_APPLIED);
	job->set_aside = true;
	if (failure->code == ERROR_INCOMPATIBLE_FORMAT && job->store != NULL) {
		job->store->stale = true;
		stores_refresh(&batch->stores);
	}
}

/* Runs the jobs as one transaction, again and again without those that the database refuses. False: fatal, or all were
 * failed. */
static bool run_transaction(struct batch *batch, struct job_list *jobs, bool *fatal, struct attempt *attempt)
{
	bool synced = batch->synced = any_synced(batch, jobs);
	bool emptied = false; /* the log, to try a commit again */
	unsigned without_space = 0;

	for (;;) {
		struct failure failure = {0};
		int code = try_batch(batch, jobs, synced, attempt, &failure);

		if (code == 0)
			return true;
		batch->source = NULL; /* what goes wrong concerns those that are there */
		stats_add(batches_again, 1);
		log_write(failure_level(batch, &failure), "a batch of %zu failed: %s", jobs->count, failure.message);
		if (failure.fatal) {
			fail_all(jobs, &failure, OUTCOME_UNKNOWN);
			*fatal = true;
			return false;
		}
		if (code == ERROR_DISK_FULL && (!batch->space.full || (attempt->culprit == NULL && !emptied))) {
			emptied = batch->space.full;
			if (space_make_room(&batch->space, fatal))
				continue;
			if (*fatal) {
				fail_all(jobs, &failure, OUTCOME_NOT_APPLIED);
				return false;
			}
		}
		/* Once: what fails without doing anything would do so for ever. */
		if (attempt->culprit != NULL && attempt->culprit->set_aside)
			attempt->culprit = NULL;
		if (attempt->culprit != NULL)
			set_aside(batch, attempt->culprit, &failure);
		if (attempt->culprit != NULL && (code != ERROR_DISK_FULL || ++without_space < WITHOUT_SPACE_MAX))
			continue;
		if (attempt->began && jobs->count > 1)
			return run_one_by_one(batch, jobs, fatal, attempt);
		give_up(batch, jobs, &failure);
		return false;
	}
}

static bool sync_now(struct batch *batch, struct job_list *jobs, bool *fatal)
{
	struct failure failure = {0};

	if (!batch->unsynced)
		return true;
	if (batch->engine->class->sync(batch->engine, &failure) == 0) {
		batch->unsynced = false;
		return true;
	}
	/* A failed fsync: what was committed is there, but whether it will stay nobody knows. */
	log_write(LOG_CRITICAL, "sync failed: %s", failure.message);
	fail_all(jobs, &failure, OUTCOME_UNKNOWN);
	*fatal = true;
	return false;
}

static void count(const struct job *job)
{
	if (!is_write(job) || job->code != 0)
		return;
	if (job->duplicate)
		stats_add(duplicates, 1);
	else if (job->request.operation == OPERATION_APPEND)
		stats_add(appends, 1);
	else if (job->request.operation == OPERATION_REPLACE)
		stats_add(replaces, 1);
	else
		stats_add(deletes, 1);
}

static void finish_jobs(struct batch *batch, struct job_list *jobs)
{
	uint64_t bytes = batch->engine->class->log_bytes(batch->engine);

	for (struct job *job = jobs->head; job != NULL; job = job->next)
		count(job);
	stats_add(batch_requests, jobs->count);
	stats_set(wal_bytes, bytes);
	stats_max(wal_peak_bytes, bytes);
}

bool batch_try_begin(struct batch *batch, const struct job_list *jobs)
{
	bool foreign = false;

	if (batch->space.full || batch->foreign || batch->noticed)
		return false;
	/* The first sync tells how fast the disk is. */
	if (!batch->sync_timed && any_synced(batch, jobs))
		return false;
	if (batch->engine->class->try_begin(batch->engine, any_synced(batch, jobs), &foreign, NULL) != 0)
		return false;
	if (foreign) {
		batch->engine->class->rollback(batch->engine);
		batch->noticed = true;
		return false;
	}
	batch->begun = true;
	return true;
}

/* What needs no transaction, or comes before it. False: fatal. */
static bool run_before(struct batch *batch, struct job_list *jobs, struct attempt *attempt)
{
	bool fatal = false;

	for (struct job *job = jobs->head; job != NULL; job = job->next) {
		job->preset = job->code != 0;
		if (job->kind == JOB_HELLO)
			fatal |= !run_hello(batch, job);
		else if (job->kind == JOB_LEAVE)
			run_leave(batch, job);
		if (is_operation(job, OPERATION_SYNC))
			attempt->want_sync = true;
	}
	if (fatal) {
		struct failure failure = {0};

		failure_set(&failure, ERROR_IO_ERROR, "the database could not be taken in use");
		fail_all(jobs, &failure, OUTCOME_UNKNOWN);
	}
	return !fatal;
}

bool batch_run(struct batch *batch, struct job_list *jobs, batch_source source, void *context)
{
	struct attempt attempt = {0};
	bool fatal = false, done = true;

	if (!run_before(batch, jobs, &attempt))
		return false;
	space_look(&batch->space);
	batch->source = batch->space.full ? NULL : source;
	batch->source_context = context;
	if (needs_transaction(batch, jobs)) {
		done = run_transaction(batch, jobs, &fatal, &attempt);
	} else {
		for (struct job *job = jobs->head; job != NULL; job = job->next)
			if (is_operation(job, OPERATION_RESUME))
				session_resume(&batch->sessions, job->session);
		sessions_committed(&batch->sessions);
	}
	if (!fatal && done && attempt.want_sync)
		sync_now(batch, jobs, &fatal);
	if (!fatal)
		finish_jobs(batch, jobs);
	return !fatal;
}

bool batch_expire_sessions(struct batch *batch, uint64_t before)
{
	const struct engine_class *class = batch->engine->class;
	struct failure failure = {0};
	uint64_t removed = 0;
	int code = begin(batch, false, &failure);

	if (code == 0)
		code = sessions_expire(&batch->sessions, before, &removed, &failure);
	if (code == 0 && removed == 0) {
		/* Nothing is written for nothing: every store of this file may have been refused. */
		class->rollback(batch->engine);
		stores_rolled_back(&batch->stores);
		return true;
	}
	if (code == 0)
		code = stores_finish(&batch->stores, &failure);
	if (code == 0)
		code = class->commit(batch->engine, &failure);
	if (code == 0) {
		stores_committed(&batch->stores);
		batch->unsynced = true;
		batch->foreign = false;
		log_write(LOG_INFO, "%llu sessions were forgotten", (unsigned long long)removed);
		return true;
	}
	log_write(failure.fatal ? LOG_CRITICAL : LOG_WARNING, "looking for forgotten sessions failed: %s",
		  failure.message);
	if (failure.fatal)
		return false;
	class->rollback(batch->engine);
	stores_rolled_back(&batch->stores);
	return true;
}
