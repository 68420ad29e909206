#include "daemon/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "daemon/batch.h"
#include "daemon/clock.h"
#include "daemon/gate.h"
#include "daemon/log.h"
#include "daemon/pulse.h"
#include "daemon/stats.h"

/*
 * One commit for everybody pays where a sync takes longer than what everybody has to wait for then: that their answers
 * are written, read, and followed by new requests. In microseconds, and per cent of one for each request. Else it is
 * better that half of them are carried out and committed meanwhile.
 */
#define TURNAROUND_US		   60
#define TURNAROUND_REQUEST_PERCENT 25

/* Parts of a recent sync: how long a batch waits for the next request, and how long in all while they come. */
#define LINGER_GAP_SHARE  10
#define LINGER_MOST_SHARE 2

/* … and so many are carried out as soon as they are there. */
#define LINGER_REQUESTS 16

/* What may be carried out at once: so much, where a sync takes at most so long, from one connection or after a pause.
 */
#define AT_ONCE_BYTES	 (64 * 1024)
#define AT_ONCE_SYNC_US	 500
#define AT_ONCE_QUIET_US 1000

/* How often forgotten sessions are looked for; more often if they are forgotten sooner. */
#define EXPIRE_INTERVAL_SECONDS 3600

struct writer {
	struct writer_options options;
	pthread_t thread;
	struct batch batch;
	/* shared */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct job_list queue;
	bool waiting;  /* the writer sleeps: wake it */
	size_t wanted; /* … once so many are queued */
	bool idle;     /* nothing is queued or carried out: what the thread owns may be used by the loop's */
	bool chores;   /* … which leaves it checkpoints and forgotten sessions */
	bool stopping;
	struct writer_limits limits; /* to be adopted, if … */
	bool limits_changed;
	_Atomic bool hungry;	  /* it waits for work, or for what may join: do not keep it waiting */
	_Atomic bool answers_out; /* the last batch's answers are written: the next requests may come */
	/* loop thread */
	uint64_t beats_seen;
	/* writer thread, or while it is idle the loop's */
	size_t last_batch;
	const struct connection *last_connection; /* that all of the last batch came from; only compared */
	uint64_t last_end_us;			  /* when its answers went out */
	uint64_t linger_since_us; /* the same, moved on by the time in which requests were carried out */
	uint64_t taken_us;	  /* when some were last taken */
	size_t batch_bytes;	  /* taken for the batch in progress */
	size_t expected;	  /* requests that may be there soon: the last batch's and those that came meanwhile */
	uint64_t next_expiry;
	uint64_t checkpoint_floor; /* do not try again before the log has grown beyond this */
};

void writer_answered(struct writer *writer)
{
	atomic_store(&writer->answers_out, true);
}

void writer_limit(struct writer *writer, const struct writer_limits *limits)
{
	pthread_mutex_lock(&writer->mutex);
	writer->limits = *limits;
	writer->limits_changed = true;
	pthread_mutex_unlock(&writer->mutex);
}

bool writer_hungry(const struct writer *writer)
{
	return atomic_load_explicit(&writer->hungry, memory_order_relaxed);
}

static void set_hungry(struct writer *writer, bool hungry)
{
	atomic_store_explicit(&writer->hungry, hungry, memory_order_relaxed);
}

void writer_submit(struct writer *writer, struct job_list *jobs)
{
	bool wake;

	if (jobs->head == NULL)
		return;
	pthread_mutex_lock(&writer->mutex);
	job_list_move(&writer->queue, jobs);
	wake = writer->waiting && writer->queue.count >= writer->wanted;
	if (wake)
		writer->waiting = false;
	pthread_mutex_unlock(&writer->mutex);
	if (wake)
		pthread_cond_signal(&writer->wake);
}

/* Sleeps until @wanted jobs are queued, the writer is to stop, or the time has come. With the mutex held. */
static void sleep_for(struct writer *writer, size_t wanted, uint64_t until_us)
{
	struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};

	while (writer->queue.count < wanted && !writer->stopping && !writer->chores) {
		writer->waiting = true;
		writer->wanted = wanted;
		if (until_us == 0)
			pthread_cond_wait(&writer->wake, &writer->mutex);
		else if (pthread_cond_timedwait(&writer->wake, &writer->mutex, &until) == ETIMEDOUT)
			break;
	}
	writer->waiting = false;
}

/*
 * The convoy: of clients that wait for their answers, half are in the batch and the other half in the queue, and they
 * would take turns for ever. Waiting a little for those just answered joins the two halves: as long as their answers
 * are still being written, and then as long as one request follows the other. Those that have come are carried out
 * before it waits for more. With the mutex held.
 */
static void linger(struct writer *writer, size_t taken)
{
	uint64_t sync_us = writer->batch.recent_sync_us, until_us, limit_us;
	size_t wanted = writer->expected, before;

	/* No more than may be taken. */
	if (wanted > writer->options.limits.batch_requests)
		wanted = writer->options.limits.batch_requests;
	if (taken >= wanted)
		return;
	wanted = wanted - taken < LINGER_REQUESTS ? wanted - taken : LINGER_REQUESTS;
	/* Counted from the last commit: whoever comes after a quiet time does not wait at all. */
	limit_us = writer->linger_since_us + sync_us / LINGER_MOST_SHARE;
	do {
		before = writer->queue.count;
		until_us = clock_us() + sync_us / LINGER_GAP_SHARE;
		sleep_for(writer, wanted, until_us < limit_us ? until_us : limit_us);
	} while (writer->queue.count < wanted && (writer->queue.count > before || !atomic_load(&writer->answers_out)) &&
		 clock_us() < limit_us && !writer->stopping);
}

/* May one more be taken for the batch in progress? */
static bool has_room(const struct writer *writer, const struct job_list *jobs)
{
	return jobs->count == 0 ||
	       (jobs->count < writer->options.limits.batch_requests &&
		writer->batch_bytes + writer->queue.head->frame_size <= writer->options.limits.batch_bytes);
}

static void take(struct writer *writer, struct job_list *jobs)
{
	writer->batch_bytes += writer->queue.head->frame_size;
	job_list_push(jobs, job_list_pop(&writer->queue));
}

/*
 * Takes jobs off the queue up to the caps; at least one. A hello never shares a batch with an earlier claim: it runs
 * before the transaction, reads the claim, and may free a store that was never made.
 */
static void take_batch(struct writer *writer, struct job_list *jobs)
{
	bool claims = false;

	writer->linger_since_us = writer->last_end_us;
	writer->taken_us = clock_us();
	writer->batch_bytes = 0;
	while (writer->queue.head != NULL && has_room(writer, jobs)) {
		if (claims && writer->queue.head->kind == JOB_HELLO)
			break;
		claims |= writer->queue.head->kind == JOB_CLAIM;
		take(writer, jobs);
	}
}

/* Is the sync of this batch worth waiting for all who may still join it? */
static bool join_pays(const struct writer *writer)
{
	uint64_t turnaround_us = TURNAROUND_US + writer->expected * TURNAROUND_REQUEST_PERCENT / 100;

	return writer->batch.synced && writer->batch.recent_sync_us > turnaround_us;
}

/*
 * Everything taken so far is carried out, and not committed yet: who has come meanwhile, or is expected, joins. Not
 * where commits are quick: there the clients of one batch had better be busy while the other is carried out.
 */
static void join(void *context, struct job_list *jobs)
{
	struct writer *writer = context;
	size_t before = jobs->count;
	bool more;

	if (!join_pays(writer))
		return;
	set_hungry(writer, true);
	writer->linger_since_us += clock_us() - writer->taken_us;
	pthread_mutex_lock(&writer->mutex);
	if (writer->queue.head == NULL)
		linger(writer, jobs->count);
	while (writer->queue.head != NULL && has_room(writer, jobs) && batch_takes(&writer->batch, writer->queue.head))
		take(writer, jobs);
	writer->taken_us = clock_us();
	more = jobs->count > before;
	pthread_mutex_unlock(&writer->mutex);
	set_hungry(writer, more);
}

/* With the mutex held. */
static void adopt_limits(struct writer *writer)
{
	if (!writer->limits_changed)
		return;
	writer->limits_changed = false;
	writer->options.limits = writer->limits;
	writer->next_expiry = 0; /* sessions may have to be forgotten sooner */
	batch_limit(&writer->batch, &writer->limits);
}

/* Waits for work; there may be none but chores. False: there is none left and the writer is to stop. */
static bool gather(struct writer *writer, struct job_list *jobs)
{
	bool chores;

	pthread_mutex_lock(&writer->mutex);
	writer->expected = writer->last_batch + writer->queue.count;
	writer->idle = writer->queue.count == 0;
	set_hungry(writer, writer->idle);
	sleep_for(writer, 1, 0);
	set_hungry(writer, false);
	adopt_limits(writer);
	writer->idle = false;
	chores = writer->chores;
	writer->chores = false;
	take_batch(writer, jobs);
	pthread_mutex_unlock(&writer->mutex);
	return chores || jobs->head != NULL;
}

/* The connection that all of them come from, or NULL. */
static const struct connection *connection_of(const struct job_list *jobs)
{
	for (const struct job *job = jobs->head; job->next != NULL; job = job->next)
		if (job->connection != job->next->connection)
			return NULL;
	return jobs->head->connection;
}

/* One transaction, and what is to be known of it for the next. */
static bool carry_out(struct writer *writer, struct job_list *jobs, batch_source source)
{
	bool fatal = !batch_run(&writer->batch, jobs, source, writer);

	writer->last_batch = jobs->count;
	writer->last_connection = connection_of(jobs);
	return !fatal;
}

static bool checkpoint(struct writer *writer)
{
	struct engine *engine = writer->options.engine;
	struct engine_gate gate = gate_hooks(writer->options.gate);
	struct engine_checkpoint_result result = {0};
	struct failure failure = {0};
	uint64_t limit = writer->options.wal_bytes, bytes = engine->class->log_bytes(engine);
	int code;

	if (bytes <= limit || bytes <= writer->checkpoint_floor)
		return true;
	code = engine->class->checkpoint(engine, &gate, &result, &failure);
	if (code == ERROR_DISK_FULL && !writer->batch.space.full) {
		bool fatal;

		space_make_room(&writer->batch.space, &fatal);
		return !fatal;
	}
	if (code != 0) {
		log_write(failure.fatal ? LOG_CRITICAL : LOG_ERROR, "checkpoint failed: %s", failure.message);
		writer->checkpoint_floor = bytes + limit / 4;
		return !failure.fatal;
	}
	stats_add(checkpoints, 1);
	stats_add(checkpoint_us, result.passive_us + result.gate_closed_us);
	stats_add(gate_closed_us, result.gate_closed_us);
	stats_max(gate_closed_max_us, result.gate_closed_us);
	if (result.complete) {
		stats_add(checkpoints_complete, 1);
		writer->checkpoint_floor = 0;
	} else {
		log_write(LOG_WARNING,
			  "another program reads the database: the log cannot start over and has %llu bytes",
			  (unsigned long long)bytes);
		writer->checkpoint_floor = bytes + limit / 4;
	}
	log_write(LOG_DEBUG, "checkpoint of %llu bytes: %llu us beside the readers, %llu us with the gate closed",
		  (unsigned long long)result.log_bytes_before, (unsigned long long)result.passive_us,
		  (unsigned long long)result.gate_closed_us);
	return true;
}

static bool expire(struct writer *writer)
{
	uint64_t now = (uint64_t)time(NULL), timeout = writer->options.limits.session_timeout;

	if (now < writer->next_expiry)
		return true;
	writer->next_expiry = now + (timeout < EXPIRE_INTERVAL_SECONDS ? timeout : EXPIRE_INTERVAL_SECONDS);
	return now <= timeout || batch_expire_sessions(&writer->batch, now - timeout);
}

static void *run(void *context)
{
	struct writer *writer = context;
	struct job_list jobs = {0};

	pthread_setname_np(pthread_self(), "writer");
	prctl(PR_SET_TIMERSLACK, 1UL); /* lingering is a matter of microseconds */
	while (gather(writer, &jobs)) {
		bool fatal = jobs.head != NULL && !carry_out(writer, &jobs, join);

		if (!fatal && jobs.head != NULL) {
			/* Answers first: the log is moved while the clients think. */
			atomic_store(&writer->answers_out, false);
			writer->options.finished(writer->options.context, &jobs, false);
			writer->last_end_us = clock_us();
		}
		if (fatal || !checkpoint(writer) || !expire(writer)) {
			writer->options.finished(writer->options.context, &jobs, true);
			break;
		}
		jobs = (struct job_list){0};
	}
	return NULL;
}

/* ---- at once, on the loop thread ---- */

static bool are_few_small_appends(const struct job_list *jobs)
{
	size_t bytes = 0;

	if (jobs->count > WRITER_AT_ONCE_REQUESTS)
		return false;
	for (const struct job *job = jobs->head; job != NULL; job = job->next) {
		bytes += job->frame_size;
		if (job->kind != JOB_REQUEST || job->request.operation != OPERATION_APPEND || job->code != 0)
			return false;
	}
	return bytes <= AT_ONCE_BYTES;
}

/*
 * With the mutex held. Only for a connection that was alone lately: two that each get their commit at once would never
 * share one.
 */
static bool may_at_once(const struct writer *writer, const struct job_list *jobs)
{
	const struct connection *connection = connection_of(jobs);

	if (!writer->idle || writer->queue.count > 0 || writer->chores || writer->stopping || writer->limits_changed)
		return false;
	if (writer->batch.recent_sync_us > AT_ONCE_SYNC_US)
		return false;
	return (connection != NULL && connection == writer->last_connection) ||
	       clock_us() - writer->last_end_us > AT_ONCE_QUIET_US;
}

static bool has_chores(const struct writer *writer)
{
	uint64_t bytes = writer->options.engine->class->log_bytes(writer->options.engine);

	return (bytes > writer->options.wal_bytes && bytes > writer->checkpoint_floor) ||
	       (uint64_t)time(NULL) >= writer->next_expiry;
}

bool writer_at_once(struct writer *writer, struct job_list *jobs, bool *fatal)
{
	bool may, chores;

	if (jobs->head == NULL || !are_few_small_appends(jobs))
		return false;
	pthread_mutex_lock(&writer->mutex);
	may = may_at_once(writer, jobs);
	pthread_mutex_unlock(&writer->mutex);
	/* Only this thread could give the other one work: it stays idle. */
	if (!may || !batch_try_begin(&writer->batch, jobs))
		return false;
	*fatal = !carry_out(writer, jobs, NULL);
	writer->last_end_us = clock_us();
	atomic_store(&writer->answers_out, true);
	chores = !*fatal && has_chores(writer);
	if (chores) {
		pthread_mutex_lock(&writer->mutex);
		writer->chores = true;
		pthread_mutex_unlock(&writer->mutex);
		pthread_cond_signal(&writer->wake);
	}
	return true;
}

bool writer_alive(struct writer *writer)
{
	uint64_t beats = pulse_beats(writer->options.pulse);
	bool alive = beats != writer->beats_seen;

	writer->beats_seen = beats;
	if (alive)
		return true;
	pthread_mutex_lock(&writer->mutex);
	alive = writer->idle && writer->queue.count == 0 && !writer->chores;
	pthread_mutex_unlock(&writer->mutex);
	return alive;
}

int writer_start(const struct writer_options *options, struct writer **out, struct failure *failure)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	pthread_condattr_t attributes;
	int code;

	if (writer == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	writer->options = *options;
	code = batch_init(&writer->batch, &writer->options, failure);
	if (code != 0) {
		free(writer);
		return code;
	}
	pthread_mutex_init(&writer->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&writer->thread, NULL, run, writer) != 0) {
		batch_free(&writer->batch);
		free(writer);
		return failure_set(failure, ERROR_IO_ERROR, "cannot start the writer thread");
	}
	*out = writer;
	return 0;
}

void writer_stop(struct writer *writer)
{
	pthread_mutex_lock(&writer->mutex);
	writer->stopping = true;
	pthread_mutex_unlock(&writer->mutex);
	pthread_cond_signal(&writer->wake);
	pthread_join(writer->thread, NULL);
	stores_end(&writer->batch.stores);
	batch_free(&writer->batch);
	pthread_cond_destroy(&writer->wake);
	pthread_mutex_destroy(&writer->mutex);
	free(writer);
}
