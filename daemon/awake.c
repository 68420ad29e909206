#include "daemon/awake.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/clock.h"

/* Waking up both who asks and this loop, and what they do with a pipeline's answers. */
#define AWAKE_US 100

#define PRESSURE_PATH "/proc/pressure/cpu"

/* Per cent of the last ten seconds in which somebody waited for a processor: on a machine that has one to spare, a few.
 */
#define PRESSURE_MOST 15

bool awake_is_calm(const char *pressure)
{
	double percent;

	return sscanf(pressure, "some avg10=%lf", &percent) == 1 && percent < PRESSURE_MOST;
}

void awake_look(struct awake *awake)
{
	cpu_set_t processors;
	char text[256];
	ssize_t size;
	int fd;

	awake->calm = false;
	if (sched_getaffinity(0, sizeof(processors), &processors) != 0 || CPU_COUNT(&processors) < 2)
		return;
	fd = open(PRESSURE_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[size < 0 ? 0 : size] = '\0';
	awake->calm = awake_is_calm(text);
}

void awake_wait(struct awake *awake, int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	uint64_t now_us = clock_us();

	awake->since_us = now_us;
	if (!awake->calm || !awake->worthwhile)
		return;
	while (now_us - awake->since_us < AWAKE_US && poll(&ready, 1, 0) == 0)
		now_us = clock_us();
}

void awake_woken(struct awake *awake)
{
	if (awake->since_us == 0)
		return;
	awake->worthwhile = clock_us() - awake->since_us < AWAKE_US;
	awake->since_us = 0;
}
