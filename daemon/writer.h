/*
 * writer: the one thread that changes the database.
 *
 * Jobs are queued from the loop thread in the order they arrived. The writer takes everything queued (up to a cap),
 * runs it as one transaction and commits once; while it commits, the next batch forms. Results go back to the loop
 * thread in one wake-up per batch.
 *
 * Where syncs are slow, one commit has to do for everybody: what has come while the batch was carried out joins it, and
 * so on until nothing more has come. Then the writer waits for as many requests as the last batch and the queue had:
 * while their answers are being written, then as long as each next request comes within a tenth of the recent sync
 * time, and at most half of it. So clients that wait for their answers come back together, and nobody is left for the
 * next commit. Where syncs are quick, clients are rather kept busy with the answers of one batch during the next.
 *
 * One bad request never spoils a batch: a rule's refusal changes nothing, and when the database refuses a statement the
 * batch is run again without the culprit. A failed fsync or write-back is the end: the results go out as unknown and
 * the process ends (fatal).
 */
#ifndef KYNETA_DAEMON_WRITER_H
#define KYNETA_DAEMON_WRITER_H

#include "daemon/engine.h"
#include "daemon/job.h"

/* Requests that may be carried out at once (writer_at_once), at most. */
#define WRITER_AT_ONCE_REQUESTS 64

struct writer;
struct gate;
struct pulse;

/* What may change while the writer runs. */
struct writer_limits {
	uint64_t batch_requests, batch_bytes;
	uint64_t document_cache_bytes;
	uint64_t max_stores;
	uint64_t session_window;  /* refused ids kept: the in-flight limit */
	uint64_t session_timeout; /* seconds */
	bool synced_by_default;
};

struct writer_options {
	struct engine *engine;
	struct gate *gate;
	struct pulse *pulse; /* beaten by the engine too (engine_options.progress) */
	uint64_t wal_bytes;
	struct writer_limits limits;
	/* Called on the writer thread after a batch; @fatal: the process must end once these are answered. */
	void (*finished)(void *context, struct job_list *jobs, bool fatal);
	void *context;
};

/* writer_start(options, writer, failure) - reads what it must know from the database, then starts the thread. */
int writer_start(const struct writer_options *options, struct writer **writer, struct failure *failure);

/* writer_limit(writer, limits) - what holds from the next batch on. Loop thread only; never blocks for long. */
void writer_limit(struct writer *writer, const struct writer_limits *limits);

/* writer_submit(writer, jobs) - queue jobs in order; @jobs is empty then. Loop thread only; never blocks for long. */
void writer_submit(struct writer *writer, struct job_list *jobs);

/*
 * writer_at_once(writer, jobs, fatal) - carry @jobs out on the calling thread, the loop's, if that is sure to be short:
 * the writer's own thread has nothing to do, these are a few small appends, the disk is fast, and nobody who could join
 * the commit is on the way. Waking a thread and being woken by it takes longer than such a commit. Their results are in
 * @jobs then; or false, nothing was done, and they are to be submitted. @fatal as for finished().
 */
bool writer_at_once(struct writer *writer, struct job_list *jobs, bool *fatal);

/*
 * writer_hungry(writer) - should requests be submitted now, without waiting for more to come? A hint: it may be out of
 * date.
 */
bool writer_hungry(const struct writer *writer);

/* writer_answered(writer) - the answers of the last batch are on their way to the clients. Loop thread only. */
void writer_answered(struct writer *writer);

/*
 * writer_alive(writer) - has there been a beat of its pulse since the last call, or has it nothing to do? Loop thread
 * only.
 */
bool writer_alive(struct writer *writer);

/* writer_stop(writer) - carry out what is queued, end the thread, free everything. */
void writer_stop(struct writer *writer);

#endif
