/*
 * harness: a daemon of a test's own.
 *
 * Every test (Criterion runs each in a process of its own) has a folder with a socket, a database and what the daemon
 * says, and one daemon, `stored`; a few have a second. A suite takes harness_init and harness_fini as fixtures; a test
 * begins with stored_start() and ends with stored_end(), which also asserts that the daemon ends well. Whatever a
 * failed test leaves behind is shown and cleared away by harness_fini, or by the kernel and a watching process if the
 * test's own process dies.
 */
#ifndef KYNETA_TESTS_CONTRACT_HARNESS_H
#define KYNETA_TESTS_CONTRACT_HARNESS_H

#include "tests/contract/fault.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HARNESS_PATH_SIZE   96
#define HARNESS_OPTIONS_MAX 16

/* A bound on every wait, far beyond what anything takes: a test that reaches it has failed. */
#define HARNESS_PATIENCE_MS 60000

struct stored {
	char folder[HARNESS_PATH_SIZE / 2]; /* empty: nothing is there */
	char socket[HARNESS_PATH_SIZE];
	char database[HARNESS_PATH_SIZE];
	char log[HARNESS_PATH_SIZE];
	const char *options[HARNESS_OPTIONS_MAX]; /* beside socket and database; the strings are the caller's */
	pid_t pid;				  /* 0: does not run */
	size_t file_size_limit;			  /* RLIMIT_FSIZE of the next start; 0: none */
	struct fault_control *fault;		  /* set by stored_use_faults */
	int guard;				  /* open as long as this process lives */
};

/* The daemon of this test. */
extern struct stored stored;

void harness_init(void);
void harness_fini(void);

/* stored_prepare(stored) - a folder; the global one has its own from harness_init. */
void stored_prepare(struct stored *stored);

/* stored_use_faults(stored) - the daemon's disk obeys stored->fault from the next start on. */
void stored_use_faults(struct stored *stored);

/* stored_start(stored, options, NULL) - start it, on whatever is in its folder, and wait until it serves. */
void stored_start(struct stored *stored, ...) __attribute__((sentinel));

/* stored_restart(stored) - start it again with the options it had. */
void stored_restart(struct stored *stored);

/* stored_launch(stored) - start it with the options it has, and do not wait. */
void stored_launch(struct stored *stored);

/* stored_signal(stored, number) - send a signal. */
void stored_signal(const struct stored *stored, int number);

/* stored_wait(stored) - wait until it has ended; returns its exit code, or minus the signal that ended it. */
int stored_wait(struct stored *stored);

/* stored_stop(stored) - SIGTERM, and it must end with 0. */
void stored_stop(struct stored *stored);

/* stored_kill(stored) - SIGKILL. */
void stored_kill(struct stored *stored);

/* stored_end(stored) - stop it if it runs, and remove the folder: the test is through. */
void stored_end(struct stored *stored);

/* stored_has_said(stored, text) - is this in what the daemon has logged so far? */
bool stored_has_said(const struct stored *stored, const char *text);

/* stored_hold_syncs / stored_release_syncs - let every sync of the daemon's files wait, and go on. */
void stored_hold_syncs(struct stored *stored);
void stored_release_syncs(struct stored *stored);

/* stored_await_sync(stored, before) - wait until more syncs than @before have begun. */
void stored_await_sync(struct stored *stored, unsigned before);

/* file_read(path, size) - all of a file, allocated. file_write, file_copy: make one. */
void *file_read(const char *path, size_t *size);
void file_write(const char *path, const void *data, size_t size);
void file_copy(const char *from, const char *to);

/* fixture_path(name) - a file of the recorded sessions and golden databases; NULL if they are not on this machine. */
const char *fixture_path(const char *name);

#endif
