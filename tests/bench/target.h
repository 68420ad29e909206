/*
 * target: what is measured: a daemon of its own on a fresh database, or SQLite in this process.
 */
#ifndef KYNETA_BENCH_TARGET_H
#define KYNETA_BENCH_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/statement_log.h"

#define TARGET_PATH_SIZE 256

struct target_options {
	const char *folder;	      /* under which the target's own is made */
	const char *daemon;	      /* NULL: none */
	const char *const *arguments; /* more options for it, NULL-terminated; or NULL */
	const char *libraries;	      /* folder of libbench-record.so and libbench-fsync.so */
	uint64_t slow_fsync_us;	      /* 0: as it is */
	bool record;		      /* the daemon's statements */
};

struct target {
	char folder[TARGET_PATH_SIZE - 32]; /* temporary, removed at the end */
	char socket[TARGET_PATH_SIZE];
	char database[TARGET_PATH_SIZE];
	pid_t daemon; /* 0: none */
	int log_fd;
	struct statement_log *log; /* NULL: not recorded; until target_remove() */
};

/*
 * target_start(target, options) - a fresh folder, and with options->daemon also a daemon in it, which answers when this
 * returns. 0, or -1 with a line on stderr. target_stop() and target_remove() either way.
 */
int target_start(struct target *target, const struct target_options *options);

/* target_wait(socket) - until the daemon there answers. 0, or -1 with a line on stderr. */
int target_wait(const char *socket);

/* target_stop(target) - end the daemon, if it runs; the folder stays. 0, or -1 if the daemon did not end with 0. */
int target_stop(struct target *target);

/* target_remove(target) - remove the folder and forget the log. */
void target_remove(struct target *target);

/* target_cpu_ns(target, loop, all) - how long the daemon was running: its first thread, the loop; all threads. */
void target_cpu_ns(const struct target *target, uint64_t *loop, uint64_t *all);

/* target_memory_kib(target) - resident memory of the daemon, now; 0 if unknown. */
uint64_t target_memory_kib(const struct target *target);

#endif
