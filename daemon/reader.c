#include "daemon/reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "daemon/clock.h"
#include "daemon/gate.h"
#include "daemon/log.h"
#include "daemon/store.h"

/* current_meta requests answered from one snapshot: opening one costs as much as the look-up. */
#define SMALL_READS_MAX 64

/*
 * So many may be answered at once by the loop thread: waking another takes longer than they do. A look-up that took
 * longer than this, and slept, had to wait for the disk: for a while they are left to the threads. One that took longer
 * without sleeping only lost the processor to somebody, as any thread would.
 */
#define AT_ONCE_READS	 8
#define AT_ONCE_SLOW_US	 1000
#define AT_ONCE_PAUSE_US 1000000

struct reader_thread {
	struct readers *readers;
	pthread_t thread;
	struct store_reading reading;
};

struct readers {
	struct readers_options options;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct job_list queue;
	unsigned idle;
	bool stopping;
	struct store_reading at_once; /* loop thread */
	uint64_t pause_until_us;
	unsigned count;
	struct reader_thread threads[];
};

void readers_submit(struct readers *readers, struct job_list *jobs)
{
	size_t count = jobs->count;
	unsigned idle;

	if (jobs->head == NULL)
		return;
	pthread_mutex_lock(&readers->mutex);
	job_list_move(&readers->queue, jobs);
	idle = readers->idle;
	pthread_mutex_unlock(&readers->mutex);
	if (idle > 1 && count > 1)
		pthread_cond_broadcast(&readers->wake);
	else if (idle > 0)
		pthread_cond_signal(&readers->wake);
}

static bool is_small(const struct job *job)
{
	return job->request.operation == OPERATION_CURRENT_META;
}

/* One page, or a handful of small reads. False: to stop, and nothing is left. */
static bool take(struct readers *readers, struct job_list *jobs)
{
	bool small;

	pthread_mutex_lock(&readers->mutex);
	while (readers->queue.head == NULL && !readers->stopping) {
		readers->idle++;
		pthread_cond_wait(&readers->wake, &readers->mutex);
		readers->idle--;
	}
	do {
		struct job *job = job_list_pop(&readers->queue);

		if (job == NULL)
			break;
		small = is_small(job);
		job_list_push(jobs, job);
	} while (small && jobs->count < SMALL_READS_MAX && readers->queue.head != NULL &&
		 is_small(readers->queue.head));
	pthread_mutex_unlock(&readers->mutex);
	return jobs->head != NULL;
}

static void fail(struct job_list *jobs, const struct failure *failure)
{
	for (struct job *job = jobs->head; job != NULL; job = job->next)
		job_fail(job, failure->code, OUTCOME_NONE, failure->message);
}

/* From one snapshot. With the gate held. */
static void answer(struct store_reading *reading, struct job_list *jobs)
{
	struct engine_reader *reader = reading->reader;
	struct failure failure = {0};

	if (reader->class->reader_begin(reader, &failure) == 0) {
		for (struct job *job = jobs->head; job != NULL; job = job->next)
			if (store_read(reading, job) != 0)
				log_write(LOG_ERROR, "reading failed: %s", job->message == NULL ? "?" : job->message);
		reader->class->reader_end(reader);
	} else {
		log_write(LOG_ERROR, "reading failed: %s", failure.message);
		fail(jobs, &failure);
	}
}

static void *run(void *context)
{
	struct reader_thread *thread = context;
	struct job_list jobs = {0};

	pthread_setname_np(pthread_self(), "reader");
	while (take(thread->readers, &jobs)) {
		gate_enter(thread->readers->options.gate);
		answer(&thread->reading, &jobs);
		gate_leave(thread->readers->options.gate);
		thread->readers->options.finished(thread->readers->options.context, &jobs);
		jobs = (struct job_list){0};
	}
	return NULL;
}

/* How often this thread has slept. */
static long sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

bool readers_at_once(struct readers *readers, struct job_list *jobs)
{
	uint64_t start, end;
	long slept;

	if (jobs->head == NULL || jobs->count > AT_ONCE_READS)
		return false;
	for (const struct job *job = jobs->head; job != NULL; job = job->next)
		if (!is_small(job))
			return false;
	start = clock_us();
	if (start < readers->pause_until_us || !gate_try_enter(readers->options.gate))
		return false;
	slept = sleeps();
	answer(&readers->at_once, jobs);
	gate_leave(readers->options.gate);
	end = clock_us();
	if (end - start > AT_ONCE_SLOW_US && sleeps() != slept)
		readers->pause_until_us = end + AT_ONCE_PAUSE_US;
	return true;
}

static int open_reading(struct readers *readers, struct store_reading *reading, struct failure *failure)
{
	return readers->options.engine->class->reader_open(readers->options.engine, &reading->reader, failure);
}

static void close_reading(struct store_reading *reading)
{
	if (reading->reader != NULL)
		reading->reader->class->reader_close(reading->reader);
	buffer_free(&reading->scratch);
	buffer_free(&reading->key);
	buffer_free(&reading->value);
}

static int start_thread(struct readers *readers, struct reader_thread *thread, struct failure *failure)
{
	int code;

	thread->readers = readers;
	code = open_reading(readers, &thread->reading, failure);
	if (code != 0)
		return code;
	if (pthread_create(&thread->thread, NULL, run, thread) != 0) {
		close_reading(&thread->reading);
		return failure_set(failure, ERROR_IO_ERROR, "cannot start a reader thread");
	}
	readers->count++;
	return 0;
}

int readers_start(const struct readers_options *options, struct readers **out, struct failure *failure)
{
	struct readers *readers = calloc(1, sizeof(*readers) + options->threads * sizeof(readers->threads[0]));
	int code;

	if (readers == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	readers->options = *options;
	pthread_mutex_init(&readers->mutex, NULL);
	pthread_cond_init(&readers->wake, NULL);
	code = open_reading(readers, &readers->at_once, failure);
	for (uint64_t i = 0; code == 0 && i < options->threads; i++)
		code = start_thread(readers, &readers->threads[i], failure);
	if (code != 0)
		readers_stop(readers);
	else
		*out = readers;
	return code;
}

void readers_stop(struct readers *readers)
{
	pthread_mutex_lock(&readers->mutex);
	readers->stopping = true;
	pthread_mutex_unlock(&readers->mutex);
	pthread_cond_broadcast(&readers->wake);
	for (unsigned i = 0; i < readers->count; i++) {
		pthread_join(readers->threads[i].thread, NULL);
		close_reading(&readers->threads[i].reading);
	}
	close_reading(&readers->at_once);
	pthread_cond_destroy(&readers->wake);
	pthread_mutex_destroy(&readers->mutex);
	free(readers);
}
