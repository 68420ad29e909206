/* clock: clocks, in nanoseconds. Without more words the monotonic one. */
#ifndef KYNETA_BENCH_CLOCK_H
#define KYNETA_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)

static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Of this process: the time it was running. */
static inline uint64_t clock_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static inline double clock_seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_SECOND;
}

/* clock_wait_until(ns) - sleep; a signal does not end it early. */
static inline void clock_wait_until(uint64_t ns)
{
	struct timespec until = {(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		;
}

#endif
