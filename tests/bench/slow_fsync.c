/*
 * slow_fsync: a disk whose fsync takes longer (slow_fsync.h): in front of the C library's functions, in a program that
 * has it linked in and in one that has libbench-fsync.so loaded.
 */
#include "tests/bench/slow_fsync.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t slow_fsync_us;

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv(SLOW_FSYNC_VARIABLE);

	if (text != NULL)
		slow_fsync_us = strtoull(text, NULL, 10);
}

static int delayed(long call, int fd)
{
	struct timespec delay = {(time_t)(slow_fsync_us / 1000000), (long)(slow_fsync_us % 1000000) * 1000};
	int result = (int)syscall(call, fd);

	if (slow_fsync_us > 0 && result == 0)
		nanosleep(&delay, NULL);
	return result;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	return delayed(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	return delayed(SYS_fdatasync, fd);
}
