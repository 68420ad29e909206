/*
 * pulse: does the thread that works for the database get anywhere?
 *
 * It beats with every job, every few thousand steps of a statement, every read, write and sync of a file, and every
 * turn of waiting for another program's lock: so whatever takes long without beating hangs. One thread beats at a time:
 * the one that opens the database, then the writer (or, while that is idle, the loop in its place), then the one that
 * closes it. Any thread may look.
 */
#ifndef KYNETA_DAEMON_PULSE_H
#define KYNETA_DAEMON_PULSE_H

#include <stdatomic.h>
#include <stdint.h>

struct pulse {
	_Atomic uint64_t beats;
};

static inline void pulse_beat(struct pulse *pulse)
{
	/* Nobody else writes: no locked instruction for each read and write. */
	uint64_t beats = atomic_load_explicit(&pulse->beats, memory_order_relaxed);

	atomic_store_explicit(&pulse->beats, beats + 1, memory_order_relaxed);
}

static inline uint64_t pulse_beats(struct pulse *pulse)
{
	return atomic_load_explicit(&pulse->beats, memory_order_relaxed);
}

#endif
