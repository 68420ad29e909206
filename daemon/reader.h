/*
 * reader: the threads that read. Each has a read-only handle of its own and answers one page, or a handful of small
 * requests, from one snapshot, with the gate (gate.h) held around it.
 */
#ifndef KYNETA_DAEMON_READER_H
#define KYNETA_DAEMON_READER_H

#include "daemon/engine.h"
#include "daemon/job.h"

struct gate;
struct readers;

struct readers_options {
	struct engine *engine;
	struct gate *gate;
	uint64_t threads;
	/* Called on a reader thread with answered jobs. */
	void (*finished)(void *context, struct job_list *jobs);
	void *context;
};

/* readers_start(options, readers, failure) - opens the handles and starts the threads. */
int readers_start(const struct readers_options *options, struct readers **readers, struct failure *failure);

/* readers_submit(readers, jobs) - queue reads; @jobs is empty then. Loop thread only; never blocks for long. */
void readers_submit(struct readers *readers, struct job_list *jobs);

/*
 * readers_at_once(readers, jobs) - answer @jobs on the calling thread, the loop's, if they are a few small reads and
 * such reads were quick lately; or false, nothing was done, and they are to be submitted.
 */
bool readers_at_once(struct readers *readers, struct job_list *jobs);

/* readers_stop(readers) - answer what is queued, end the threads, close the handles. */
void readers_stop(struct readers *readers);

#endif
