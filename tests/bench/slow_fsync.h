/*
 * slow_fsync: what a real disk would give: each fsync and fdatasync sleeps afterwards.
 */
#ifndef KYNETA_BENCH_SLOW_FSYNC_H
#define KYNETA_BENCH_SLOW_FSYNC_H

#include <stdint.h>

/* Read when the program starts, in microseconds. */
#define SLOW_FSYNC_VARIABLE "KYNETA_BENCH_FSYNC_US"

/* How long from now on, in this process. */
extern uint64_t slow_fsync_us;

#endif
