/*
 * target: what is measured: a daemon of its own on a fresh database, or SQLite in this process.
 */
#ifndef KYNETA_BENCH_TARGET_H
#define KYNETA_BENCH_TARGET_H

#include <stdbool.h>
#include <sys/types.h>

#define TARGET_PATH_SIZE 256

struct target {
	char folder[TARGET_PATH_SIZE - 32]; /* temporary, removed at the end */
	char socket[TARGET_PATH_SIZE];
	char database[TARGET_PATH_SIZE];
	pid_t daemon; /* 0: none */
};

/*
 * target_start(target, parent, program, arguments) - a fresh folder under @parent; with @program also a daemon in it,
 * which answers when this returns. @arguments: more options for it, NULL-terminated, or NULL. 0, or -1 with a line on
 * stderr.
 */
int target_start(struct target *target, const char *parent, const char *program, const char *const *arguments);

/* target_stop(target) - end the daemon, remove the folder. 0, or -1 if the daemon did not end with 0. */
int target_stop(struct target *target);

#endif
