/*
 * gate: readers hold it around each snapshot; the writer closes it to start the log over.
 *
 * Back-to-back short readers would keep SQLite from ever resetting the log. Closing waits for the pages in progress and
 * keeps new ones out. Any thread; one closer at a time.
 */
#ifndef KYNETA_DAEMON_GATE_H
#define KYNETA_DAEMON_GATE_H

#include <pthread.h>
#include <stdbool.h>

#include "daemon/engine.h"

struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned inside;
	unsigned left; /* pages ended since it was closed: those that closing waited for */
	bool closed;
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* gate_enter(gate) - wait until the gate is open, and go in; gate_try_enter: or give up; gate_leave: out again. */
void gate_enter(struct gate *gate);
bool gate_try_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/* gate_close(gate) - let nobody in, and wait until nobody is inside. gate_open(gate) - as before. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);

/* gate_hooks(gate) - the gate as an engine wants it. */
struct engine_gate gate_hooks(struct gate *gate);

#endif
