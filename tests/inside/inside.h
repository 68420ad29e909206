/*
 * inside: the daemon as threads of the test's own process: its loop, writer, readers and database are the real ones,
 * put together by daemon/daemon.h. For tests that want to look into all of it with one sanitizer or debugger, or have
 * no time for a process each.
 *
 * inside_prepare(), then any number of times inside_start() and inside_stop() on the same database, then
 * inside_remove(). All from one thread. What fails ends the process.
 */
#ifndef KYNETA_TESTS_INSIDE_INSIDE_H
#define KYNETA_TESTS_INSIDE_INSIDE_H

#include <semaphore.h>
#include <stdatomic.h>

#include "daemon/daemon.h"

#define INSIDE_PATH_SIZE 96

struct inside {
	char folder[INSIDE_PATH_SIZE - 16];
	char socket[INSIDE_PATH_SIZE];
	char database[INSIDE_PATH_SIZE];
	void (*configure)(struct config *config); /* the options beside these two; may be NULL */
	struct daemon *daemon;
	pthread_t thread;
	sem_t ready;
	uv_async_t wake;
	_Atomic bool stop; /* else: reload */
	int exit_code;
};

/* inside_prepare(inside, configure) - a folder of its own in $TMPDIR, or else in memory. */
void inside_prepare(struct inside *inside, void (*configure)(struct config *config));

/* inside_start(inside) - returns when it serves. */
void inside_start(struct inside *inside);

/* inside_reload(inside) - as by SIGHUP: the options are asked for again. Returns at once. */
void inside_reload(struct inside *inside);

/* inside_stop(inside) - as by SIGTERM; it must end with success, and has given everything back then. */
void inside_stop(struct inside *inside);

/* inside_clear(inside) - the database is gone: the next start makes a new one. Not while the daemon runs. */
void inside_clear(struct inside *inside);

/* inside_remove(inside) - the folder with everything in it is gone. */
void inside_remove(struct inside *inside);

#endif
